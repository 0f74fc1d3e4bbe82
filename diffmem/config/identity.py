"""What a run is known by, from its settings as they are stored (format 1: `config.yaml`, and what is hashed).

Format 1 has one flat list of options for each group, whatever the variant; `FORMAT_1` keeps that list, and what
stands for an option that the variant does not have. Ids hash it, so neither its order nor its values may change.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

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


def stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as format 1 writes them: every option of every group, in its order."""
    return {name: stored_group(name, value) if name in FORMAT_1 else value for name, value in settings.items()}


def stored_group(group: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one variant of `group`, and what stands for those of the others."""
    return {**FORMAT_1[group], **options}


def trajectory(settings: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """What decides the training trajectory, and so the identity of the run (paths and devices do not).

    `settings` are as stored, `batch` is the number of images in one batch.
    """
    data = {name: value for name, value in settings["data"].items() if name != "root"}
    groups = {name: settings[name] for name in ("model", "diffusion", "optimizer", "seed")}
    train = {name: settings["train"][name] for name in ("precision", "t", "ema")}
    return {"data": data, **groups, "train": {**train, "batch": batch}}


def evaluation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a row of metrics, given a checkpoint."""
    measures = {name: value for name, value in settings["eval"].items() if name not in ("tile", "keep_samples")}
    return {"eval": measures, "sampler": settings["sampler"]}


def run_id(trajectory: Mapping[str, Any], data_sha256: str) -> str:
    """Readable key and short hash: `digits-n64-w16-s0-1a2b3c4d`. The data count by content, not by path."""
    data, width, seed = trajectory["data"], trajectory["model"]["width"], trajectory["seed"]
    return f"{data['name']}-n{data['n']}-w{width}-s{seed}-{short_hash({**trajectory, 'data_sha256': data_sha256})}"


def short_hash(value: object) -> str:
    """Eight hex digits of the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
