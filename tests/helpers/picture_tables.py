"""Runs made by formula, for the tests of figures and report: τ_mem = 12 n, τ_bias = 4 n, one quality for all n."""

from typing import Any

import numpy as np
import pandas as pd

from diffmem.records import Film, SampleSheet
from diffmem.stats.intervals import wilson
from tests.helpers.families import planted_bias, planted_share

STEPS = np.array([0, 50, 67, 89, 119, 158, 211, 281, 375, 500, 667, 889, 1186, 1581, 2108, 2812, 3750, 5000, 6000])


def family(
    ns: tuple[int, ...] = (32, 64, 128, 256, 512, 1024), widths: tuple[int, ...] = (16,), seeds: tuple[int, ...] = (0,)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rows, times) with f_mem logistic in log τ, fd_pixels falling to a floor that falls with n, and losses."""
    draws = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    times: list[dict[str, Any]] = []
    for n in ns:
        for width in widths:
            for seed in seeds:
                keys = {"run": f"digits-n{n}-w{width}-s{seed}", "n": n, "width": width, "seed": seed, "index": seed}
                tau_mem, tau_gen = (16 / width) * draws.normal(1, 0.05, 2) * np.array([12 * n, 150])
                rows += [keys | _row(int(step), n, float(tau_mem), draws) for step in STEPS]
                planted = {"tau_mem": tau_mem, "tau_gen": tau_gen, "tau_bias": tau_mem / 3, "fmem_onset": tau_mem / 1.5}
                times.append(keys | {k: v for name, tau in planted.items() for k, v in _time(name, float(tau)).items()})
    return pd.DataFrame(rows), pd.DataFrame(times)


def _row(step: int, n: int, tau_mem: float, draws: np.random.Generator) -> dict[str, Any]:
    share = float(planted_share(step, tau_mem))
    count = int(draws.binomial(200, share))
    low, high = wilson(count, 200)
    lean = round(200 * float(planted_bias(step, tau_mem / 3)))
    lean_ends = wilson(lean, 200)
    quality = 30 / (1 + step / 12) + 8 / n**0.5 + 0.1
    train, gap = 0.02 + 0.9 / (1 + step / 20), 0.08 * share
    return {
        "step": step,
        "f_mem": count / 200,
        "f_mem_low": low,
        "f_mem_high": high,
        "f_mem_null": 0.004,
        "p_train": lean / 200,
        "p_train_low": lean_ends[0],
        "p_train_high": lean_ends[1],
        "p_train_null": 0.52,
        "fd_pixels": quality,
        "fd_pixels_low": 0.93 * quality,
        "fd_pixels_high": 1.07 * quality,
        "loss_train_t50": train * (1 - 0.6 * share),
        "loss_test_t50": train + gap,
        "loss_train_t200": 0.4 * train * (1 - 0.4 * share),
        "loss_test_t200": 0.4 * train + 0.5 * gap,
    }


def _time(name: str, tau: float) -> dict[str, Any]:
    last, reached = int(STEPS[-1]), tau < STEPS[-1]
    values = {"": tau, "_low": 0.88 * tau, "_high": 1.13 * tau} if reached else dict.fromkeys(("", "_low", "_high"))
    status = {"_status": "reached" if reached else "right", "_last_step": last}
    return {f"{name}{end}": np.nan if value is None else value for end, value in values.items()} | {
        f"{name}{end}": value for end, value in status.items()
    }


LAWS: dict[str, dict[str, Any]] = {
    "tau_mem": {
        "alpha": 1.02,
        "low": 0.91,
        "high": 1.13,
        "log_c": float(np.log(11)),
        "n_runs": 6,
        "n_reached": 4,
        "dof": 3,
        "definition": "fmem_crosses",
    },
    "tau_bias": {
        "alpha": 1.01,
        "low": 0.88,
        "high": 1.14,
        "log_c": float(np.log(3.9)),
        "n_runs": 6,
        "n_reached": 6,
        "dof": 4,
        "definition": "bias_crosses",
    },
    "tau_gen": {
        "alpha": -0.01,
        "low": -0.06,
        "high": 0.04,
        "log_c": float(np.log(158)),
        "n_runs": 6,
        "n_reached": 6,
        "dof": 4,
        "definition": "quality_reaches",
    },
}


def sheets(runs: tuple[int, ...] = (32, 256, 1024), steps: tuple[int, ...] = (119, 889, 6000)) -> list[SampleSheet]:
    """Six 8x8 blobs for each run and step; the ratio falls with τ/n."""
    draws = np.random.default_rng(1)
    axis = np.linspace(-1, 1, 8)
    out = []
    for n in runs:
        for step in steps:
            centres = draws.uniform(-0.6, 0.6, (6, 2, 1, 1))
            clean = np.exp(-((axis[:, None] - centres[:, 0]) ** 2 + (axis - centres[:, 1]) ** 2) / 0.15)[:, None]
            noisy = np.clip(clean + draws.normal(0, 0.25 * n / 1024 + 0.02, clean.shape), 0, 1)
            ratio = np.clip(draws.normal(1 - step / (20 * n), 0.08, 6), 0.02, 0.99)
            out.append(SampleSheet(f"digits-n{n}-w16-s0", n, step, noisy, clean, ratio))
    return out


def films(ns: tuple[int, ...] = (32, 1024), size: int = 8, channels: int = 1, count: int = 6) -> list[Film]:
    """For each n a run whose samples turn from noise into training images, their ratio falling with τ/n."""
    draws = np.random.default_rng(2)
    shape = (len(STEPS), count, channels, size, size)
    out = []
    for n in ns:
        nearest = np.broadcast_to(draws.integers(0, 256, shape[1:]), shape)
        noisy = np.exp(-STEPS / 150)[:, None, None, None, None]
        samples = np.round((1 - noisy) * nearest + noisy * draws.integers(0, 256, shape))
        ratio = np.clip(draws.normal(1 - STEPS[:, None] / (20 * n), 0.08, shape[:2]), 0.02, 0.99)
        pixels = (samples.astype(np.uint8), nearest.astype(np.uint8))
        out.append(Film(f"digits-n{n}-w16-s0", n, STEPS, *pixels, ratio))
    return out
