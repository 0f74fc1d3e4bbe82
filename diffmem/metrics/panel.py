"""The panel: every measure of memorization by name, with its direction and its source, on one target's samples.

`of_samples` are measured on samples or, for the null, on held-out images in their place; `of_denoiser` on the network.
Each value comes with its null. A measure that a target does not allow (a network that nobody has, no held-out image)
is absent, never zero.
"""

import math

from torch import Tensor

from diffmem.diffusion.process import Denoiser, Process
from diffmem.metrics.authenticity import auth_pct
from diffmem.metrics.calibrated_l2 import calibrated_l2
from diffmem.metrics.data_copying import data_copying
from diffmem.metrics.features.gap import FeatureIndex
from diffmem.metrics.memorization import gap_ratio, memorized_fraction
from diffmem.metrics.psnr import psnr
from diffmem.metrics.score import empirical_score_distance
from diffmem.metrics.search import NearestTwo, TrainingIndex
from diffmem.records import Measure

SIGMAS = (0.1, 0.2, 0.5, 1.0, 2.0)  # noise levels in pixels at which a network is measured
LIMIT = 512

MEASURES = {
    "f_mem": Measure("share of samples with d1/d2 < k", 1, "Yoon et al. 2023; Bonnaire et al. 2025"),
    "p_train": Measure(
        "share of samples closer to the training images than to as many held-out ones", 1, "this project"
    ),
    "gap_ratio": Measure("mean d1/d2", -1, "Yoon et al. 2023"),
    "auth_pct": Measure("AuthPct: percent of authentic samples", -1, "Alaa et al. 2022"),
    "calibrated_l2": Measure("mean calibrated l2 distance to the nearest of 50", -1, "Carlini et al. 2023"),
    "c_t": Measure("C_T: rank test against held-out images", -1, "Meehan et al. 2020"),
    "f_mem_features": Measure(
        "f_mem in features, by default principal components", 1, "Yoon et al. 2023; Somepalli et al. 2023"
    ),
    "psnr_gap": Measure(
        "denoising PSNR, training minus held-out images, mean over noise levels, dB", 1, "Kadkhodaie et al. 2024"
    ),
    "score_distance": Measure(
        "relative distance to the empirical score, mean over noise levels", -1, "Bonnaire et al. 2025"
    ),
}


def of_samples(
    samples: Tensor,
    nearest: NearestTwo,
    index: TrainingIndex,
    heldout: Tensor | None,
    features: FeatureIndex,
    k: float,
    k_features: float | None = None,
) -> dict[str, float]:
    """Measures of `samples` [M, ...] whose nearest training images are `nearest`. C_T needs `heldout` [N, ...].

    `k_features` is the threshold in `features`, by default `k` too.
    """
    near = features.nearest_two(samples)
    values = {
        "f_mem": memorized_fraction(nearest.d1, nearest.d2, k).value,
        "gap_ratio": float(gap_ratio(nearest.d1, nearest.d2).mean()),
        "auth_pct": auth_pct(nearest, index),
        "calibrated_l2": float(calibrated_l2(samples, index).mean()),
        "f_mem_features": memorized_fraction(near.d1, near.d2, k if k_features is None else k_features).value,
    }
    if heldout is not None:
        values["c_t"] = data_copying(samples, heldout, index.rows(index.distinct))
    return values


def of_denoiser(
    denoiser: Denoiser, process: Process, train: Tensor, heldout: Tensor, *, scale: float
) -> list[dict[str, float]]:
    """Measures of the network on images [n or N, ...] in model space: one row for each noise level of SIGMAS.

    A row holds `t`, `sigma` (deviation of the noise in pixels), the three PSNRs in dB, and `psnr_gap` and
    `score_distance` with their nulls. The null puts one half of the held-out images in the place of the training
    images; both values are measured against the other half. At most LIMIT images of each are used for the PSNR.
    """
    half = len(heldout) // 2
    other, rest = heldout[:half], heldout[half:][:LIMIT]
    rows = []
    for sigma in SIGMAS:
        t = nearest_t(process, sigma * scale)
        alpha_bar = float(process.alpha_bar[t])
        row = {"t": t, "sigma": math.sqrt((1 - alpha_bar) / alpha_bar) / scale}
        for name, images in (("train", train), ("heldout", rest), ("other", other)):
            row[f"psnr_{name}"] = psnr(denoiser, process, images[:LIMIT], t, scale=scale)
        row["psnr_gap"] = row["psnr_train"] - row["psnr_heldout"]
        row["psnr_gap_null"] = row["psnr_other"] - row["psnr_heldout"]
        for name, images in (("score_distance", train), ("score_distance_null", other[: len(train)])):
            row[name] = empirical_score_distance(denoiser, process, images, rest, t)
        rows.append(row)
    return rows


def nearest_t(process: Process, sigma: float) -> int:
    """The diffusion time whose noise, relative to the signal, is nearest to `sigma` in ratio."""
    alpha_bar = process.alpha_bar.double().cpu()
    return int(((1 - alpha_bar) / alpha_bar).log().sub(2 * math.log(sigma)).abs().argmin())
