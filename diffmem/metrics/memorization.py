"""Memorization: the gap ratio d1/d2 of a sample to its two nearest training images, f_mem, and its null.

    ratio = d1 / d2;  a sample is memorized when ratio < k = 1/3;  f_mem = memorized / samples

The null is the same share of real images that are not in the training set: held-out ones, or where there are none the
training images themselves, each against the others.

Letters: M samples, n training images.
Source: Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to memorize";
Bonnaire et al. 2025, arXiv 2505.17638.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmem import arguments
from diffmem.definitions import K
from diffmem.errors import InputError
from diffmem.metrics.nearest_k import nearest_k
from diffmem.metrics.search import NearestTwo, TrainingIndex
from diffmem.stats import intervals

THRESHOLDS = (1 / 5, 1 / 4, 1 / 3, 2 / 5, 1 / 2)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class MemorizedFraction:
    """`count` of `total` samples are memorized; `value` is their share, `low` and `high` its Wilson 95% interval."""

    count: int
    total: int
    value: float
    low: float
    high: float


def gap_ratio(d1: Tensor, d2: Tensor) -> Tensor:
    """ratio = d1/d2 [M], in [0, 1]. Raises InputError for empty, negative, unordered or non-finite distances."""
    d1, d2 = (torch.as_tensor(arguments.array(name, value)) for name, value in (("d1", d1), ("d2", d2)))
    if d1.shape != d2.shape or d1.dim() != 1 or len(d1) == 0:
        raise InputError(f"d1 {tuple(d1.shape)} and d2 {tuple(d2.shape)} must be two vectors of one length, not empty.")
    if not bool((d1.isfinite() & d2.isfinite() & (d1 >= 0) & (d1 <= d2) & (d2 > 0)).all()):
        raise InputError("Distances must be finite with 0 <= d1 <= d2 and d2 > 0: take them from nearest_two.")
    return d1 / d2


def memorized_fraction(d1: Tensor, d2: Tensor, k: float = K) -> MemorizedFraction:
    """f_mem: the share of samples with d1/d2 < k, with its Wilson 95% interval.

    d1, d2: [M]. Raises InputError for k outside (0, 1] and as `gap_ratio` does.
    """
    k = arguments.number("k", k, above=0, high=1)
    ratio = gap_ratio(d1, d2)
    count, total = int((ratio < k).sum()), len(ratio)
    return MemorizedFraction(count, total, count / total, *intervals.wilson(count, total))


def summarize(nearest: NearestTwo, k: float = K, bootstrap: int = 1000, seed: int = 0) -> dict[str, float]:
    """The columns of a row that come from the samples.

    f_mem at threshold `k` with its count and Wilson interval, which is the one to decide by; the percentiles of
    `bootstrap` seeded resamples (left out at 0), which have no width at a count of 0 and cover too rarely where few
    samples are memorized; f_mem at the thresholds THRESHOLDS, and QUANTILES of d1 (units of the images) and of the
    ratio.
    """
    columns = fraction_columns("f_mem", memorized_fraction(nearest.d1, nearest.d2, k))
    if bootstrap:
        count, total = int(columns["f_mem_count"]), int(columns["f_mem_total"])
        low, high = intervals.bootstrap_fraction(count, total, resamples=bootstrap, seed=seed)
        columns |= {"f_mem_boot_low": low, "f_mem_boot_high": high}
    for threshold in THRESHOLDS:
        columns[f"f_mem_k{threshold:.4f}"] = memorized_fraction(nearest.d1, nearest.d2, threshold).value
    for name, values in (("d1", nearest.d1), ("ratio", gap_ratio(nearest.d1, nearest.d2))):
        levels = np.quantile(values.numpy(), QUANTILES)
        columns |= {f"{name}_q{round(100 * q):02d}": float(level) for q, level in zip(QUANTILES, levels, strict=True)}
    return columns


def null_columns(heldout: NearestTwo, k: float = K) -> dict[str, float]:
    """The null of f_mem: the same measure on held-out real images against the same training set."""
    return fraction_columns("f_mem_null", memorized_fraction(heldout.d1, heldout.d2, k))


def decoded_columns(nearest: NearestTwo, heldout: NearestTwo, k: float) -> dict[str, float]:
    """f_mem of latents where they are seen, in the pixels that they decode to, with its null: f_mem_decoded."""
    columns = fraction_columns("f_mem_decoded", memorized_fraction(nearest.d1, nearest.d2, k))
    return columns | fraction_columns("f_mem_decoded_null", memorized_fraction(heldout.d1, heldout.d2, k))


def leave_one_out(index: TrainingIndex, limit: int = 2048) -> NearestTwo:
    """The two nearest training images of each of the first `limit` distinct ones, itself left out.

    A null where no held-out image is to be had: d1/d2 of real images against a set that lacks just them. Raises
    InputError for fewer than three distinct images.
    """
    if len(index.distinct) < 3:
        raise InputError(
            f"{len(index.distinct)} distinct training images give no null of their own, which needs three: "
            "give held-out images."
        )
    chosen = index.rows(index.distinct[:limit])
    distance, place = nearest_k(chosen, index.train, 3, places=index.distinct, device=index.device)
    return NearestTwo(distance[:, 1].clone(), distance[:, 2].clone(), place[:, 1].clone(), place[:, 2].clone())


def fraction_columns(name: str, fraction: MemorizedFraction) -> dict[str, float]:
    """A share as columns: `name` with its count, total and interval."""
    return {
        name: fraction.value,
        f"{name}_count": fraction.count,
        f"{name}_total": fraction.total,
        f"{name}_low": fraction.low,
        f"{name}_high": fraction.high,
    }
