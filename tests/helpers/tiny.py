"""Runs small enough to be trained, killed and repeated in tests: 8 digits, one level of 4 channels, 24 steps."""

import json
from pathlib import Path
from typing import Any

from diffmem.config.compose import compose
from diffmem.config.settings import Config

CHECKPOINTS = [0, 2, 4, 6, 11, 20, 24]

# in Hydra's grammar, for the command line
OVERRIDES = [
    *("data=digits", "data.n=8", "data.scale=2", "model=unet_tiny", "model.width=4", "model.multipliers=[1]"),
    *("model.groups=2", "diffusion.T=20", "optimizer=adam", "optimizer.lr=0.01", "train.steps=24", "train.batch=4"),
    *("grid.per_decade=4", "grid.first=2", "sampler.calls=2", "eval.samples=128", "eval.test_images=64"),
    *("eval.t=[2]", "eval.loss_draws=64", "eval.bootstrap=10", "eval.keep_samples=5", "device=cpu", "threads=1"),
]

# options of a U-Net with every kind of layer
SMALL_UNET: dict[str, Any] = {
    "width": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "heads": 2,
    "groups": 4,
    "attention": (2,),
    "mid_attention": True,
}

TINY = compose([*OVERRIDES, "executor=here"]).to_mapping()


def tiny(out: Path | None = None, **groups: Any) -> Config:
    """The tiny run in `out`; `groups` update options, such as `train={"steps": 3}` or `seed=1`."""
    settings = dict(TINY, out=None if out is None else str(out))
    for name, value in groups.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    return Config.from_mapping(settings)


def outcome_bytes(run: Path) -> dict[str, bytes]:
    """Everything that a killed and resumed run must share with one never killed: path -> bytes."""
    paths = [run / "metrics.jsonl", run / "resume.json", *sorted((run / "resume").iterdir())[-1:]]
    paths += [path for folder in ("checkpoints", "samples") for path in sorted((run / folder).rglob("*"))]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.is_file()}


def same_bytes(found: dict[str, bytes], expected: dict[str, bytes]) -> bool:
    """Equal but for the pointer's older entry, which names whatever was saved before the last step."""
    last = [json.loads(files.pop("resume.json"))[-1] for files in (dict(found), dict(expected))]
    assert last[0] == last[1]
    rest = [{name: content for name, content in files.items() if name != "resume.json"} for files in (found, expected)]
    assert rest[0].keys() == rest[1].keys()
    return all(rest[0][name] == rest[1][name] for name in rest[0])
