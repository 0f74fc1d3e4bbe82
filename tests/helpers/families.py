"""Planted families for the tests of the analysis: curves whose times are known by construction."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy

from diffmem.analysis.tables.family import Family
from diffmem.analysis.times.curves import Curve
from diffmem.stats.intervals import wilson
from diffmem.store import RunDir

BOOKENDS = {"real": 1.0, "mean_image": 20.0, "gaussian": 2.25, "copies": 1.1}  # in units of the floor
GRID = np.array([0, *sorted({round(50 * 10 ** (j / 8)) for j in range(25)})])


def planted_share(step: Any, tau_mem: Any) -> Any:
    """f_mem without noise: logistic in log `step`, 1/20 at `tau_mem`, so it crosses 0.05 there. Elementwise."""
    return 1 / (1 + 19 * np.exp(-3 * (np.log(np.maximum(step, 1e-9)) - np.log(tau_mem))))


def planted_bias(step: Any, tau_bias: Any) -> Any:
    """p_train without noise: from 0.5 to 1, logistic in log `step`, 0.6 at `tau_bias`. Elementwise."""
    return 0.5 + 0.5 / (1 + 4 * np.exp(-3 * (np.log(np.maximum(step, 1e-9)) - np.log(tau_bias))))


def planted_rows(
    n: int,
    tau_mem: float,
    tau_gen: float,
    *,
    seed: int = 0,
    width: int = 16,
    floor: float = 1.0,
    total: int = 500,
    grid: np.ndarray = GRID,
    rng: np.random.Generator | None = None,
    error: float = 0.02,
    tau_bias: float | None = None,
) -> pd.DataFrame:
    """A run whose f_mem crosses 0.05 at `tau_mem` and whose quality crosses 1.5 `floor` at `tau_gen`, the common level:
    real images score `floor`, and the best trivial generator 2.25 `floor`.

    f_mem is `planted_share`, quality `floor` plus a term that halves it at `tau_gen`. p_train is `planted_bias`, by
    default with `tau_bias` a quarter of `tau_mem`. With `rng`, f_mem and p_train are binomial and quality log-normal
    with relative `error`; without, all are the curves themselves.
    """
    log_step = np.log(np.maximum(grid, 1e-9))
    share = planted_share(grid, tau_mem)
    quality = floor * (1 + 0.5 * np.exp(-2 * np.clip(log_step - np.log(tau_gen), -4, None)))
    count = np.rint(share * total) if rng is None else rng.binomial(total, share)
    if rng is not None:
        quality = quality * np.exp(error * rng.standard_normal(len(grid)))
    p_train = planted_bias(grid, tau_mem / 4 if tau_bias is None else tau_bias)
    if rng is not None:
        p_train = rng.binomial(total, p_train) / total
    ends = np.array([wilson(one * total, total) for one in p_train])
    return pd.DataFrame(
        {
            "run": f"n{n}-w{width}-s{seed}",
            "n": n,
            "width": width,
            "seed": seed,
            "index": seed,
            "step": grid,
            "f_mem": count / total,
            "f_mem_count": count,
            "f_mem_total": total,
            "f_mem_null": 0.0,
            "p_train": p_train,
            "p_train_low": ends[:, 0],
            "p_train_high": ends[:, 1],
            "p_train_null": 0.5,
            "p_train_null_low": 0.47,
            "p_train_null_high": 0.53,
            "fd_pixels": quality,
            "fd_pixels_low": quality * np.exp(-1.96 * error),
            "fd_pixels_high": quality * np.exp(1.96 * error),
            **{f"fd_pixels@{name}": value * floor for name, value in BOOKENDS.items()},
        }
    )


def as_family(*tables: pd.DataFrame) -> Family:
    """The rows of several runs as a family that was read from nowhere."""
    rows = pd.concat(tables, ignore_index=True)
    runs = rows.drop_duplicates("run")[["run", "n", "width", "seed", "index"]].reset_index(drop=True)
    settings = pd.Series([{}] * len(runs), dtype=object)
    return Family(runs.assign(status="complete", path=None, settings=settings), rows)


def curve(step: Sequence[int], count: Sequence[float], total: int = 200, null: Any = 0.0, **quality: Any) -> Curve:
    """A curve of f_mem from counts."""
    arrays: dict[str, Any] = {name: np.asarray(value, dtype=np.float64) for name, value in quality.items()}
    return Curve(
        run="run",
        step=np.asarray(step),
        count=np.asarray(count, dtype=np.float64),
        total=np.full(len(step), float(total)),
        null=null,
        **arrays,
    )


def odds_between(steps: tuple[float, float], counts: tuple[float, float], at: float, total: float = 200) -> float:
    """Where a curve of f_mem passes `at` samples between two points: linearly in log step and in log odds."""
    before, after, level = (math.log((count + 0.5) / (total - count + 0.5)) for count in (*counts, at))
    return float(steps[0] * (steps[1] / steps[0]) ** ((level - before) / (after - before)))


def settings(n: int, seed: int = 0, width: int = 16, **other: Any) -> dict[str, Any]:
    """The part of a run's config.yaml that the analysis reads, with `other` options by their dotted names."""
    config: dict[str, Any] = {
        "data": {"name": "digits", "n": n, "index": seed},
        "model": {"name": "unet", "width": width},
        "optimizer": {"name": "adam", "lr": 1e-3},
        "train": {"steps": 1000, "batch": 512},
        "grid": {"kind": "log", "per_decade": 8},
        "eval": {"k": 1 / 3, "samples": 500},
        "seed": seed,
        "device": "cpu",
    }
    for key, value in other.items():
        group, _, name = key.rpartition("__")
        (config[group] if group else config)[name] = value
    return config


def write_samples(run: RunDir, step: int, d1: Any, d2: Any, **more: Any) -> None:
    """The samples of `run` at `step`: their distances, and indices and images that say nothing."""
    index = np.zeros(len(d1), dtype=np.int64)
    blank = np.zeros((0, 1, 8, 8), dtype=np.float32)
    arrays = {"d1": np.asarray(d1), "d2": np.asarray(d2), "i1": index, "i2": index + 1, "images": blank, **more}
    run.primary.write_samples(step, safetensors.numpy.save(arrays))


def write_run(folder: Path, rows: pd.DataFrame, status: str = "complete", **other: Any) -> RunDir:
    """A run directory that holds `rows`."""
    first = rows.iloc[0]
    run = RunDir(folder / str(first["run"]))
    run.write_config(settings(int(first["n"]), int(first["seed"]), int(first["width"]), **other))
    run.write_status({"status": status})
    measures = rows.drop(columns=["run", "n", "width", "seed", "index"])
    run.primary.write_rows({str(name): value for name, value in row.items()} for row in measures.to_dict("records"))
    return run
