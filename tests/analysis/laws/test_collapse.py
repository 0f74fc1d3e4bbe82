"""Collapse: planted exponents come back, intervals cover, units do not matter, and too little is refused."""

from typing import Any

import numpy as np
import pytest

from diffmem.analysis.laws.collapse import Collapse, CollapseRefused, family_collapse, fit_collapse
from diffmem.analysis.laws.family import laws
from diffmem.analysis.times.curves import Curve, family_curves
from diffmem.analysis.times.family import family_times
from tests.helpers.families import GRID, as_family, planted_rows, planted_share

NS = (16, 32, 64, 128)


def planted(
    ns: tuple[int, ...],
    *,
    replicates: int = 1,
    scatter: float = 0.0,
    last: float = np.inf,
    rng: np.random.Generator | None = None,
    total: int = 500,
) -> tuple[list[Curve], np.ndarray]:
    """Curves with τ_mem = 20 n but for `scatter` in log τ, measured up to step `last`, and their n."""
    grid = GRID[last >= GRID]
    curves, n = [], np.repeat(ns, replicates)
    noise = rng.standard_normal(len(n)) if rng else np.zeros(len(n))
    for place, tau in enumerate(20 * n * np.exp(scatter * noise)):
        share = planted_share(grid, tau)
        count = rng.binomial(total, share).astype(float) if rng else share * total
        curves.append(Curve(run=str(place), step=grid, count=count, total=np.full(len(grid), float(total)), null=0.0))
    return curves, n


def collapse(curves: list[Curve], n: np.ndarray, **options: Any) -> Collapse:
    return fit_collapse(curves, n=n, width=np.full(len(n), 16), **options)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_planted_exponent_is_found_and_agrees_with_the_law(alpha: float) -> None:
    runs = [planted_rows(n, 400 * (n / 16) ** alpha, 150, total=5000) for n in NS]
    planted_family = as_family(*runs)
    fit = family_collapse(planted_family)
    assert fit["alpha"] == pytest.approx(alpha, abs=0.02)
    assert fit["low"] <= alpha <= fit["high"]
    assert fit["score"] < 0.05  # one curve, but for the grid that times are interpolated on
    law = laws(family_times(planted_family, n_boot=0))["tau_mem"]
    assert fit["alpha"] == pytest.approx(law["alpha"], abs=0.02)
    assert fit["beta"] is None
    assert (fit["n_runs"], fit["n_rising"]) == (4, 4)


def test_widths_have_their_exponent() -> None:
    runs = [
        planted_rows(n, 400 * (n / 16) * (16 / width) ** 0.7, 150, width=width, total=5000)
        for n in NS
        for width in (8, 16, 32)
    ]
    fit = family_collapse(as_family(*runs))
    assert (fit["alpha"], fit["beta"]) == pytest.approx((1.0, -0.7), abs=0.02)
    assert fit["low"] <= 1.0 <= fit["high"]
    assert fit["beta_low"] <= -0.7 <= fit["beta_high"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ns", "replicates", "last", "method"),
    [
        ((16, 32, 64, 128, 256, 512), 1, np.inf, "observed information"),
        (NS, 3, np.inf, "resampled runs"),
        (NS, 4, 2000, "resampled runs"),  # a quarter of the runs ends before it rises
    ],
)
def test_intervals_of_noisy_families_cover(ns: tuple[int, ...], replicates: int, last: float, method: str) -> None:
    rng = np.random.default_rng(5)
    fits = []
    for draw in range(300):
        curves, n = planted(ns, replicates=replicates, scatter=0.3, last=last, rng=rng)
        fits.append(collapse(curves, n, n_boot=100, seed=draw))
    assert np.mean([fit.method == method for fit in fits]) > 0.95
    cover = np.mean([fit.alpha_low <= 1 <= fit.alpha_high for fit in fits])
    assert abs(cover - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 300)
    error = np.std([fit.alpha for fit in fits]) / np.sqrt(300)
    assert abs(np.mean([fit.alpha for fit in fits]) - 1) < 4 * error
    assert np.mean([fit.score for fit in fits]) == pytest.approx(0.3, abs=0.04)  # the planted scatter of log time


@pytest.mark.parametrize(("step", "n"), [(7, 1), (1, 10), (1000, 3)])
def test_units_change_neither_exponent_nor_score(step: int, n: int) -> None:
    curves, ns = planted(NS, replicates=2, scatter=0.3, rng=np.random.default_rng(1))
    other = [Curve(run=one.run, step=one.step * step, count=one.count, total=one.total, null=0.0) for one in curves]
    first, second = collapse(curves, ns, n_boot=50), collapse(other, ns * n, n_boot=50)
    for name in ("alpha", "alpha_low", "alpha_high", "score", "level_high"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-6), name


def test_the_score_is_least_at_the_exponent_found() -> None:
    """An oracle: the spread of log times at equal height, by hand, for curves that all rise through the same levels."""
    curves, n = planted(NS, replicates=2, scatter=0.2, rng=np.random.default_rng(2), total=10**6)
    fit = collapse(curves, n)
    log_time = []
    for curve in curves:
        assert curve.count is not None
        share = np.maximum.accumulate(curve.count / 10**6)
        rising = np.concatenate([[True], np.diff(share) > 0]) & (curve.step > 0)
        levels = 1 / (1 + np.exp(-np.linspace(np.log(0.05 / 0.95), np.log(fit.level_high / (1 - fit.level_high)), 8)))
        log_time.append(np.interp(levels, share[rising], np.log(curve.step[rising])))

    def spread(alpha: float) -> float:
        scaled = np.array(log_time) - alpha * np.log(n)[:, None]
        return float(np.sqrt(np.mean((scaled - scaled.mean(axis=0)) ** 2)))

    alphas = np.linspace(0.5, 1.5, 2001)
    least = alphas[int(np.argmin([spread(alpha) for alpha in alphas]))]
    assert fit.alpha == pytest.approx(least, abs=1e-3)
    assert fit.score == pytest.approx(spread(least) * np.sqrt(8 / 6), rel=1e-2)


def test_runs_that_do_not_rise_count_and_are_given_no_time() -> None:
    """Of the longest times the noise leaves only the short ones: dropping the rest would lower the exponent."""
    rng = np.random.default_rng(0)
    kept, dropped = [], []
    for _ in range(60):
        curves, n = planted(NS, replicates=4, scatter=0.5, last=1500, rng=rng)
        rise = np.array([curve.count is not None and curve.count[-1] >= 25 for curve in curves])
        kept.append(collapse(curves, n, n_boot=2).alpha)
        dropped.append(collapse([c for c, up in zip(curves, rise, strict=True) if up], n[rise], n_boot=2).alpha)
    assert abs(np.mean(kept) - 1) < 4 * np.std(kept) / np.sqrt(60)
    assert np.mean(dropped) < 0.9


def test_curves_are_compared_over_the_range_they_share() -> None:
    curves, n = planted(NS, last=4000)  # all rise, and n = 128 ends lowest
    fit = collapse(curves, n)
    assert curves[-1].count is not None
    assert (fit.level_low, fit.level_high) == pytest.approx((0.05, curves[-1].count[-1] / 500))
    curves, n = planted(NS)
    assert collapse(curves, n).level_high == pytest.approx(0.95)


def test_too_little_is_refused_with_a_reason() -> None:
    curves, n = planted(NS, last=100)
    with pytest.raises(CollapseRefused, match=r"0 of 4 curves rise through 0\.05 .* needs 3 that do"):
        collapse(curves, n)
    curves, n = planted(NS)
    with pytest.raises(CollapseRefused, match="1 of 1 curves"):
        collapse(curves[:1], n[:1])
    with pytest.raises(CollapseRefused, match="have 1 distinct n, which leaves the exponents open"):
        collapse(curves[:3], np.array([16, 16, 16]))
    with pytest.raises(CollapseRefused, match="widths that vary along with n"):
        fit_collapse(curves, n=n, width=n // 2)
    late = [  # already high where the others begin to rise: no height that enough of them pass
        Curve(run=one.run, step=one.step[20:], count=one.count[20:], total=one.total[20:], null=0.0)
        for one in curves
        if one.count is not None and one.total is not None
    ]
    with pytest.raises(CollapseRefused, match="rise through"):
        collapse([*curves[:2], *late[:2]], n)


def test_a_family_without_f_mem_or_above_its_null_is_refused_in_the_record() -> None:
    runs = [planted_rows(n, 400, 150) for n in NS]
    high_null = as_family(*(run.assign(f_mem_null=0.6) for run in runs))
    assert family_collapse(high_null) == {
        "n_runs": 0,
        "refused": "no run has a curve of f_mem with a null that leaves it room to rise",
    }
    flat = as_family(*(planted_rows(n, 1e9, 150) for n in NS))
    assert "0 of 4 curves rise" in family_collapse(flat)["refused"]
    only_quality = as_family(*(run.drop(columns=[c for c in map(str, run) if c.startswith("f_mem")]) for run in runs))
    assert family_collapse(only_quality)["n_runs"] == 0
    assert len(family_curves(only_quality)) == 4
