"""What a run is known by, from its settings as they are stored (format 1: `config.yaml`, and what is hashed).

Format 1 has one flat list of options for each group, whatever the variant; `FORMAT_1` keeps that list, and what
stands for an option that the variant does not have. Ids hash it, so neither its order nor its values may change.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# The version of the measures that make a row: 2 since quality has a kernel distance and bookends. A run's meta.json
# says which made its rows (1 where it says nothing). It counts in an evaluation's identity and never in a run's.
MEASURES = 2

HEARTBEAT_SECONDS = 1.0  # younger than format 1: written where it differs, and never hashed
# group -> option younger than format 1 -> its default (its dataclass has it too), at which it is not written or hashed
YOUNGER: dict[str, dict[str, Any]] = {
    "data": {"classes": None, "augment": None, "deduplicate": None, "order": None, "center": "mean", "labels": False},
    "model": {"classes": None, "spectral_norm": None, "attention_gate": False},
    "diffusion": {"predict": "epsilon"},
    "optimizer": {"decay": None},
    "train": {
        "loss_weight": "uniform",
        "min_snr_gamma": 5.0,
        "label_dropout": 0.0,
        "graph": "auto",
        "compile": False,
        "init": None,
        "init_weights": "raw",
        "lora_rank": None,
    },
    "sampler": {"guidance": 1.0},
    "eval": {
        "f_mem_width": None,
        "quality_samples": None,
        "loss_draws": 1024,
        "background": None,
        "features": None,
        "lipschitz": 0,
        "ema_sigma": None,
        "kl_samples": None,
    },
    "executor": {"tflops": None},
}
EVAL_FREE = ("tile", "keep_samples", "background")  # decide no number of a row

# group -> option -> what is stored where the variant has no such option (null also where every variant has it)
FORMAT_1: dict[str, dict[str, Any]] = {
    "data": dict.fromkeys(("name", "n", "index", "scale", "root", "size", "channels", "dim", "mu", "sigma")),
    "model": {
        **dict.fromkeys(("name", "width", "blocks")),
        "multipliers": [],
        "attention": [],
        "mid_attention": True,
        "heads": 4,
        "groups": 8,
        "dropout": 0.0,
    },
    "diffusion": {"schedule": None, "T": None, "beta_first": 1e-4, "beta_last": 2e-2},
    "optimizer": {
        **dict.fromkeys(("name", "lr")),
        "momentum": 0.0,
        "beta1": 0.9,
        "beta2": 0.999,
        **dict.fromkeys(("weight_decay", "clip")),
    },
    "executor": {"name": None, "workers": None, "retries": 1},
}

# where the files of a data set lie, which is no part of what they hold
PATHS = ("root", "decoder", "label_file")


def whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with every option of format 1 and every younger one of their variants, in the order of format 1."""
    return {name: stored_group(name, value) if name in FORMAT_1 else value for name, value in settings.items()}


def stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as format 1 writes them: every option of every group, in its order.

    `train.ema_sigma` is younger: it is written beside the `train.ema=power` that uses it, and nowhere else. So
    are `heartbeat_seconds` and the options of YOUNGER, which are written where they are not at their default.
    """
    if settings.get("heartbeat_seconds") == HEARTBEAT_SECONDS:
        settings = {name: value for name, value in settings.items() if name != "heartbeat_seconds"}
    groups = {name: _without_defaults(name, value) for name, value in whole(settings).items()}
    train = groups.get("train")
    if train is None or train["ema"] == "power":
        return groups
    return {**groups, "train": {name: value for name, value in train.items() if name != "ema_sigma"}}


def _without_defaults(group: str, options: Any) -> Any:
    """`options` of `group` without the young ones that are at their default."""
    young = YOUNGER.get(group, {})
    if not young:
        return options
    return {name: value for name, value in options.items() if name not in young or value != young[name]}


def completed(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """`settings` with what `stored` leaves out."""
    settings = {"heartbeat_seconds": HEARTBEAT_SECONDS, **settings}
    train = settings.get("train")
    if not isinstance(train, Mapping) or train.get("ema") == "power":
        return settings
    return {**settings, "train": {**train, "ema_sigma": None}}


def stored_group(group: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one variant of `group`, and what stands for those of the others."""
    return {**FORMAT_1[group], **options}


def trajectory(settings: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """What decides the training trajectory, and so the identity of the run (paths and devices do not).

    `settings` are as stored, `batch` is the number of images in one batch.
    """
    data = {name: value for name, value in settings["data"].items() if name not in PATHS}
    groups = {name: settings[name] for name in ("model", "diffusion", "optimizer", "seed")}
    decisive = ("precision", "t", "loss_weight", "min_snr_gamma", "label_dropout", "ema", "ema_sigma", "lora_rank")
    train = {name: value for name, value in settings["train"].items() if name in decisive}
    return {"data": data, **groups, "train": {**train, "batch": batch}}


def evaluation(settings: Mapping[str, Any], measures: int = MEASURES) -> dict[str, Any]:
    """What decides a row of metrics, given a checkpoint: settings, and the version of the measures."""
    chosen = {name: value for name, value in settings["eval"].items() if name not in EVAL_FREE}
    version = {} if measures == 1 else {"measures": measures}  # version 1 had no number
    return {"eval": chosen, "sampler": settings["sampler"], **version}


def run_id(trajectory: Mapping[str, Any], data_sha256: str, init_sha256: str | None = None) -> str:
    """Readable key and short hash: `digits-n64-w16-s0-1a2b3c4d`.

    The data, and the weights that a run goes on from, count by content, not by path.
    """
    data, width, seed = trajectory["data"], trajectory["model"]["width"], trajectory["seed"]
    content = {"data_sha256": data_sha256} | ({} if init_sha256 is None else {"init_sha256": init_sha256})
    return f"{data['name']}-n{data['n']}-w{width}-s{seed}-{short_hash({**trajectory, **content})}"


def short_hash(value: object) -> str:
    """Eight hex digits of the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
