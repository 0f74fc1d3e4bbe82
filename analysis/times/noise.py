"""The noise of a rising curve of shares, in log odds, where it does not depend on how high the curve stands.

Two kinds. Sampling: a point is M samples, and all checkpoints start from the same noise, so that neighbours err
together. Jitter: the weights at a constant learning rate move from checkpoint to checkpoint, and each point has its
own. Only the second makes a curve rough, so it is read off how far points lie from the line through their neighbours,
less what sampling makes of that (Gasser et al. 1986, "Residual variance and residual pattern in nonlinear regression").

K points of a curve, M samples, B resampled copies.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Array = NDArray[np.float64]
SEEN = 2.0  # samples that count, and that do not, from which the log odds of a point say something about jitter
PRIOR = 1.0  # differences without jitter that are taken as seen, besides those that are
LARGEST = 1.0  # variance of jitter: values that change by factors of e at every checkpoint. Digits have 0.1 to 0.2
TINY = 1e-12


def log_odds(share: Array, total: Array | float) -> Array:
    """log(y / (1 - y)) of shares of `total` samples, with half a sample more on each side: finite at 0 and 1."""
    half = 0.5 / total
    odds: Array = np.log((share + half) / (1 - share + half))
    return odds


def pair_weights(size: int, n_boot: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Weights [B, M + 1] of M samples and of one more that counts, for a Bayesian bootstrap.

    Half a sample that counts and half a one that does not are added, and all weights sum to M. So a weighted count is M
    times a Beta(count + 1/2, M - count + 1/2), which has a width at a count of 0 too.
    Source: Rubin 1981, "The Bayesian bootstrap".
    """
    weights = rng.standard_gamma(1.0, (n_boot, size + 2))
    weights[:, size:] = rng.standard_gamma(0.5, (n_boot, 2))
    weights *= size / weights.sum(axis=1, keepdims=True)
    return weights[:, :-1].astype(np.float32)


def copies_of(
    step: NDArray[np.int64],
    share: Array,
    fit: Array,
    total: Array,
    paired: Array | None,
    n_boot: int,
    rng: np.random.Generator,
) -> Array:
    """Copies [B, K] of a curve of shares: its monotone `fit`, with new noise of both kinds.

    `share`, `fit` and `total` are [K]; `paired` [B, K] are shares under common weights of the samples, NaN where they
    are not stored. There the noise is that of samples each of which counts from one step on, so shared along the
    curve: how much of it is shared counts cannot tell, and independent noise would average out between neighbours.
    """
    noise = _nested(fit, total, n_boot, rng)
    rough = np.full_like(noise, np.nan)
    if paired is not None:
        rough = logit(np.clip(paired, TINY, 1 - TINY)) - log_odds(share, total)
        noise = np.where(np.isnan(rough), noise, rough)
    seen = on_the_rise(step, share, total)
    value, error = log_odds(share, total)[seen], _error(share, total)[seen]
    variance = jitter(np.log(step[seen]), value, error, rough[:, seen], rng)
    copies: Array = expit(log_odds(fit, total) + noise + np.sqrt(variance)[:, None] * rng.standard_normal(noise.shape))
    return copies


def on_the_rise(step: NDArray[np.int64], share: Array, total: Array) -> NDArray[np.bool_]:
    """The points [K] that say something about jitter: neither none nor all of their samples count."""
    seen: NDArray[np.bool_] = (step > 0) & (np.minimum(share, 1 - share) * total >= SEEN)
    return seen


def _nested(fit: Array, total: Array, n_boot: int, rng: np.random.Generator) -> Array:
    """Noise [B, K] in log odds of samples each of which counts from one step on; `fit` [K] does not fall."""
    size = total.min()
    between = np.diff(np.concatenate([[-0.5], fit * size, [size + 0.5]]))
    weight = rng.standard_gamma(np.maximum(between, TINY), (n_boot, len(between)))
    share = np.cumsum(weight, axis=1)[:, :-1] / weight.sum(axis=1, keepdims=True)
    noise: Array = logit(np.clip(share, TINY, 1 - TINY)) - log_odds(fit, size)
    return noise * np.sqrt(size / total)


def _error(share: Array, total: Array) -> Array:
    """Binomial variance [K] of log odds."""
    error: Array = (total + 1) / ((share * total + 0.5) * ((1 - share) * total + 0.5))
    return error


def jitter(x: Array, value: Array, error: Array, noise: Array, rng: np.random.Generator) -> Array:
    """Variance [B] of jitter, as far as the second differences of `value` [K] at `x` [K] tell: one draw a copy.

    A difference d has variance V + c σ², V that of sampling: of `noise` [B, K], or of independent points with variance
    `error` [K] where that is NaN. Σ d²/(V + c σ²) has about half as many degrees of freedom as there are differences,
    since they overlap; σ² is what makes it a draw of its chi-squared (Viechtbauer 2007, "Confidence intervals for the
    amount of heterogeneity in meta-analysis"). Zero for fewer than three points.
    """
    n_boot, m = len(noise), len(x) - 2
    if m < 1 or n_boot == 0:
        return np.zeros(n_boot)
    left = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    weight = (-left, 1.0, left - 1)

    def bend(y: Array, of: tuple[Array | float, ...]) -> Array:
        total: Array = of[0] * y[..., :-2] + of[1] * y[..., 1:-1] + of[2] * y[..., 2:]
        return total

    squares = tuple(part**2 for part in weight)
    c, alone, together = bend(np.ones_like(x), squares), bend(error, squares), bend(noise, weight).var(axis=0)
    v = np.maximum(np.where(np.isnan(together), alone, together), TINY)
    grid = np.concatenate([[0.0], np.geomspace(1e-4, LARGEST, 100)])
    dof = (m + 1) / 2
    ratio = dof / m * (bend(value, weight) ** 2 / (v + c * grid[:, None])).sum(axis=1)
    ratio += PRIOR * v.mean() / (v.mean() + c.mean() * grid)
    return np.interp(-rng.chisquare(dof + PRIOR, n_boot), -ratio, grid)
