"""Laws: exact cases, independent likelihoods, and intervals that cover with few runs and with censored ones."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from diffmem.analysis.laws.family import laws
from diffmem.analysis.laws.scaling import LawRefused, PowerLaw, fit_power_law
from diffmem.analysis.laws.sentence import sentence
from diffmem.analysis.laws.tobit import fit_tobit
from diffmem.errors import InputError

NS = np.array([16, 32, 64, 128, 256, 512])


def planted(
    draws: int, runs: int, censored: float, *, alpha: float = 1.0, scatter: float = 0.3, ns: np.ndarray = NS
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """n, tau and whether reached, of families that all end at the step beyond which a share `censored` lies."""
    rng = np.random.default_rng(7)
    n = np.repeat(ns, runs)
    log_tau = np.log(20.0) + alpha * np.log(n) + scatter * rng.standard_normal((draws, len(n)))
    last = np.quantile(log_tau, 1 - censored)
    for one in log_tau:
        yield n, np.exp(np.minimum(one, last)), one <= last


def words(reached: np.ndarray) -> list[str]:
    return ["reached" if one else "right" for one in reached]


def coverage(fits: list[PowerLaw], alpha: float) -> float:
    return float(np.mean([fit.alpha_low <= alpha <= fit.alpha_high for fit in fits]))


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "alpha", "censored"), [(3, 1.0, 0.0), (4, 1.0, 0.5), (3, 0.0, 0.25)])
def test_intervals_from_resampled_runs_cover(runs: int, alpha: float, censored: float) -> None:
    fits = [
        fit_power_law(tau, n=n, status=words(reached), n_boot=200 if censored else 400, seed=draw)
        for draw, (n, tau, reached) in enumerate(planted(300, runs, censored, alpha=alpha))
    ]
    assert {fit.method for fit in fits} <= {"resampled runs", "observed information"}
    assert np.mean([fit.method == "resampled runs" for fit in fits]) > 0.9
    assert 0.92 <= coverage(fits, alpha) <= 0.98
    error = np.std([fit.alpha for fit in fits]) / np.sqrt(len(fits))
    assert abs(np.mean([fit.alpha for fit in fits]) - alpha) < 4 * error + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "ns"), [(1, NS[:4]), (1, NS), (2, NS[::2])])
def test_intervals_of_few_runs_cover(runs: int, ns: np.ndarray) -> None:
    """With every run reached Student's interval is exact."""
    families = planted(600, runs, 0.0, ns=ns)
    fits = [fit_power_law(tau, n=n) for n, tau, _ in families]
    assert {(fit.method, fit.dof) for fit in fits} == {("observed information", runs * len(ns) - 2)}
    assert abs(coverage(fits, 1.0) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 600)


@pytest.mark.parametrize("runs", [1, 2])
def test_intervals_of_few_runs_cover_with_some_censored(runs: int) -> None:
    fits = []
    for n, tau, reached in planted(400, runs, 0.25, ns=NS[: 6 if runs == 1 else 4]):
        try:
            fits.append(fit_power_law(tau, n=n, status=words(reached)))
        except LawRefused:
            continue
    assert len(fits) > 360
    assert 0.92 <= coverage(fits, 1.0) <= 0.985


def test_dropping_censored_runs_is_biased_and_keeping_them_is_not() -> None:
    kept, dropped = [], []
    for n, tau, reached in planted(200, 4, 0.5, scatter=0.6):
        kept.append(fit_power_law(tau, n=n, status=words(reached), n_boot=0).alpha)
        dropped.append(fit_power_law(tau[reached], n=n[reached], n_boot=0).alpha)
    assert np.mean(dropped) < 0.75
    assert abs(np.mean(kept) - 1) < 4 * np.std(kept) / np.sqrt(len(kept)) + 0.03


def test_without_censoring_few_runs_give_the_textbook_interval() -> None:
    rng = np.random.default_rng(0)
    n = NS
    tau = 7 * n**0.8 * np.exp(0.2 * rng.standard_normal(len(n)))
    fit = fit_power_law(tau, n=n)
    known = scipy_stats.linregress(np.log(n), np.log(tau))
    half = scipy_stats.t(4).ppf(0.975) * known.stderr
    assert (fit.alpha, fit.log_c) == pytest.approx((known.slope, known.intercept), rel=1e-9)
    assert (fit.alpha_low, fit.alpha_high) == pytest.approx((known.slope - half, known.slope + half), rel=1e-6)
    assert fit.p_alpha_is_zero == pytest.approx(known.pvalue, rel=1e-6)
    residual = np.log(tau) - known.intercept - known.slope * np.log(n)
    assert fit.scatter == pytest.approx(np.sqrt(np.sum(residual**2) / 4), rel=1e-6)


def hessian(function: Callable[[np.ndarray], float], at: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """Central second differences."""
    e = h * np.eye(len(at))

    def second(i: int, j: int) -> float:
        corners = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
        return sum(sign * function(at + a * e[i] + b * e[j]) for a, b, sign in corners) / (4 * h * h)

    return np.array([[second(i, j) for j in range(len(at))] for i in range(len(at))])


def test_the_likelihood_of_censored_runs_is_maximal() -> None:
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(30), rng.normal(size=(30, 2))])
    y = x @ [1.0, 0.7, -0.4] + 0.5 * rng.standard_normal(30)
    censored = np.select([y > 1.5, y < 0.3], [1, -1])
    y = np.clip(y, 0.3, 1.5)
    weight = np.vstack([np.ones(30), rng.multinomial(30, np.full(30, 1 / 30), size=3)])
    b, sigma, covariance = fit_tobit(x, y, censored, weight)

    for row, w in enumerate(weight):

        def loss(p: np.ndarray, w: np.ndarray = w) -> float:
            z = (y - x @ p[:3]) / np.exp(p[3])
            terms = np.select(
                [censored == 0, censored == 1],
                [scipy_stats.norm.logpdf(z) - p[3], scipy_stats.norm.logsf(z)],
                scipy_stats.norm.logcdf(z),
            )
            return -float(w @ terms)

        known = optimize.minimize(loss, [0, 0, 0, 0], method="BFGS", options={"gtol": 1e-7})
        np.testing.assert_allclose([*b[row], np.log(sigma[row])], known.x, atol=1e-5)
        np.testing.assert_allclose(covariance[row], np.linalg.inv(hessian(loss, known.x))[:3, :3], rtol=1e-4, atol=1e-6)


@settings(max_examples=40)
@given(
    alpha=st.floats(-2, 2), beta=st.floats(-2, 2), log_c=st.floats(-2, 5), censored=st.sampled_from([None, 1.0, 0.7])
)
def test_a_law_without_scatter_is_found_exactly(
    alpha: float, beta: float, log_c: float, censored: float | None
) -> None:
    n, width = (part.ravel() for part in np.meshgrid(NS, [8, 16, 32]))
    log_tau = log_c + alpha * np.log(n) + beta * np.log(width)
    last = np.inf if censored is None else np.quantile(log_tau, censored)
    status = np.where(log_tau > last, "right", "reached")
    fit = fit_power_law(np.exp(np.minimum(log_tau, last)), n=n, width=width, status=list(status), n_boot=50)
    assert (fit.alpha, fit.beta, fit.log_c) == pytest.approx((alpha, beta, log_c), abs=1e-4)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), unit=st.floats(0.01, 100), per=st.floats(0.01, 100))
def test_units_change_the_constant_alone(seed: int, unit: float, per: float) -> None:
    rng = np.random.default_rng(seed)
    n = np.repeat(NS, 2)
    tau = n * np.exp(0.3 * rng.standard_normal(len(n)))
    status = words(tau < 300)
    first, other = (
        fit_power_law(np.minimum(tau, 300) * a, n=n * b, status=status, n_boot=40) for a, b in ((1, 1), (unit, per))
    )
    assert (other.alpha, other.alpha_low, other.scatter) == pytest.approx(
        (first.alpha, first.alpha_low, first.scatter), rel=1e-5, abs=1e-7
    )
    assert other.log_c == pytest.approx(first.log_c + np.log(unit) - first.alpha * np.log(per), abs=1e-5)


@pytest.mark.parametrize("censored", [0.0, 0.4])
def test_tests_and_intervals_agree(censored: float) -> None:
    for alpha in (0.0, 0.15, 0.85, 1.0):
        for n, tau, reached in planted(40, 2, censored, alpha=alpha):
            fit = fit_power_law(tau, n=n, status=words(reached), n_boot=60)
            assert (fit.p_alpha_is_one < 0.05) == (not fit.alpha_low <= 1 <= fit.alpha_high)
            assert (fit.p_alpha_is_zero < 0.05) == (not fit.alpha_low <= 0 <= fit.alpha_high)


def test_a_left_censored_run_bends_the_law_as_its_mirror_image_does() -> None:
    n, tau, reached = next(planted(1, 3, 0.4))
    right = fit_power_law(tau, n=n, status=words(reached), n_boot=100)
    left_words = ["reached" if one else "left" for one in reached]
    left = fit_power_law(1 / tau, n=n, status=left_words, n_boot=100)
    assert (left.alpha, left.alpha_low, left.alpha_high) == pytest.approx(
        (-right.alpha, -right.alpha_high, -right.alpha_low), rel=1e-6
    )


def test_width_has_its_exponent_and_interval() -> None:
    rng = np.random.default_rng(5)
    n, width = (np.repeat(part.ravel(), 2) for part in np.meshgrid(NS[:4], [8, 16, 32]))
    hits = []
    for draw in range(100):
        tau = 50 * n / width * np.exp(0.3 * rng.standard_normal(len(n)))
        fit = fit_power_law(np.minimum(tau, 500), n=n, width=width, status=words(tau < 500), n_boot=200, seed=draw)
        hits.append([fit.alpha_low <= 1 <= fit.alpha_high, fit.beta_low <= -1 <= fit.beta_high])
    cover = np.mean(hits, axis=0)
    assert (np.abs(cover - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 100)).all(), cover
    assert np.isnan(fit_power_law(tau, n=n, width=np.full(len(n), 8)).beta)


def test_runs_that_err_together_are_no_more_evidence_than_one() -> None:
    """Taken one by one, their interval is far too narrow."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 5)
    n = np.repeat(np.tile(NS, 2), 5)
    hits = {"runs": 0, "groups": 0}
    for draw in range(100):
        shared = 0.5 * rng.standard_normal(12)[groups]
        tau = n * np.exp(shared + 0.05 * rng.standard_normal(60))
        for name, factors in (("runs", None), ("groups", {"subset": groups})):
            fit = fit_power_law(tau, n=n, factors=factors, n_boot=200, seed=draw)
            hits[name] += fit.alpha_low <= 1 <= fit.alpha_high
    assert hits["runs"] < 0.75 * 100
    assert abs(hits["groups"] - 95) < 4 * np.sqrt(100 * 0.95 * 0.05)
    assert fit.components["subset"] == pytest.approx(0.5, abs=0.3)
    assert fit.components["run"] == pytest.approx(0.05, abs=0.02)


def test_a_balanced_family_has_the_textbooks_interval_of_its_means() -> None:
    """Two of four in each cell differ from the law by n, by W and by seed: each n counts once for α, each W for β."""
    rng = np.random.default_rng(2)
    ns, widths = NS[:5], np.array([4, 8, 16, 32])
    n, width, seed = (part.ravel() for part in np.meshgrid(ns, widths, range(3), indexing="ij"))
    effects = [0.3 * rng.standard_normal(size) for size in (5, 4, 3)]
    error = effects[0][np.searchsorted(ns, n)] + effects[1][np.searchsorted(widths, width)] + effects[2][seed]
    tau = 50 * n / width * np.exp(error + 0.1 * rng.standard_normal(60))
    fit = fit_power_law(tau, n=n, width=width, factors={"n": n, "width": width, "seed": seed})
    for values, labels, low, high, dof in (
        (ns, n, fit.alpha_low, fit.alpha_high, fit.dof),
        (widths, width, fit.beta_low, fit.beta_high, fit.dof_beta),
    ):
        means = [np.log(tau[labels == one]).mean() for one in values]
        known = scipy_stats.linregress(np.log(values), means)
        half = scipy_stats.t(len(values) - 2).ppf(0.975) * known.stderr
        assert (low, high) == pytest.approx((known.slope - half, known.slope + half), rel=1e-5)
        assert dof == pytest.approx(len(values) - 2, rel=1e-4)


def test_two_values_say_nothing_of_how_they_err() -> None:
    n, width = (part.ravel() for part in np.meshgrid([32, 128], [8, 16, 32, 64]))
    with pytest.raises(LawRefused, match=r"2 values of n do not say by how much: add two more n, such as 64 and 256"):
        fit_power_law(3.0 * n, n=n, factors={"n": n})
    assert fit_power_law(3.0 * n, n=n, n_boot=50).alpha == pytest.approx(1.0)
    fit = fit_power_law(3.0 * width / n, n=width, width=n, factors={"n": width, "width": n})
    assert (fit.alpha, fit.beta) == pytest.approx((1.0, -1.0))
    assert np.isnan([fit.beta_low, fit.beta_high]).all()


@pytest.mark.parametrize(
    ("tau", "n", "status", "message"),
    [
        ([100, 200], [10, 20], None, "2 of 2 runs reached it, and a law of 2 coefficients needs 3"),
        ([100, 200, 300, 400], [10, 20, 40, 80], "rrcc", "2 of 4 runs reached it"),
        ([100, 110, 120, 130], [16, 16, 16, 16], None, "have 1 distinct n"),
        ([100, 110, 120, 400], [16, 16, 16, 64], "rrrc", "have 1 distinct n"),
        ([], [], None, "0 of 0 runs"),
    ],
)
def test_too_little_is_refused_with_what_there_is(
    tau: list[float], n: list[float], status: str | None, message: str
) -> None:
    named = None if status is None else [{"r": "reached", "c": "right"}[one] for one in status]
    with pytest.raises(LawRefused, match=message) as refusal:
        fit_power_law(tau, n=n, status=named)
    assert refusal.value.n_runs == len(tau)
    assert refusal.value.n_reached == (len(tau) if status is None else status.count("r"))


def test_width_that_follows_n_is_refused() -> None:
    with pytest.raises(LawRefused, match="widths that vary along with n"):
        fit_power_law(3.0 * NS, n=NS, width=NS // 2)


@pytest.mark.parametrize(
    ("tau", "n", "status"), [([1, 0, 3], [1, 2, 3], None), ([1, np.nan, 3], [1, 2, 3], None), ([1], [-1], None)]
)
def test_what_has_no_logarithm_is_named(tau: list[float], n: list[float], status: None) -> None:
    with pytest.raises(InputError, match="has no logarithm"):
        fit_power_law(tau, n=n, status=status)


def table(
    tau_mem: list[float], mem: list[str], tau_gen: list[float], gen: list[str], n: list[int], last: float = 5000
) -> pd.DataFrame:
    columns: dict[str, Any] = {"n": n, "width": 16}
    for name, values, status in (("tau_mem", tau_mem, mem), ("tau_gen", tau_gen, gen)):
        reached = np.array(status) == "reached"
        columns |= {name: np.where(reached, values, np.nan), f"{name}_status": status}
        columns |= {f"{name}_last_step": last, f"{name}_bound": last, f"{name}_definition": f"definition of {name}"}
    return pd.DataFrame(columns)


def test_laws_are_json_and_the_sentence_says_them() -> None:
    n = [16, 32, 64, 128, 256]
    times = table([10.5 * k for k in n], ["reached"] * 4 + ["right"], [149.5] * 5, ["reached"] * 5, n, last=1500)
    fits = laws(times)
    assert json.loads(json.dumps(fits, allow_nan=False)) == fits
    assert fits["tau_mem"]["alpha"] == pytest.approx(1.0)
    assert (fits["tau_mem"]["n_runs"], fits["tau_mem"]["n_reached"], fits["tau_mem"]["dof"]) == (5, 4, 2)
    assert fits["tau_gen"]["definition"] == "definition of tau_gen"
    assert fits["tau_gen"]["p_alpha_is_zero"] > 0.05 > fits["tau_mem"]["p_alpha_is_zero"]
    assert sentence(fits, times) == (
        "from n = 16 to 256 tau_mem ~ n^1.00 [1.00, 1.00], tau_gen ~ n^0.00 [0.00, 0.00]; at n = 128 train between "
        "step 150 and step 1,344 (at n = 256 tau_mem not reached by step 1,500)"
    )


def test_a_refused_law_has_a_reason_and_no_number() -> None:
    times = table([0, 0, 900], ["right", "right", "reached"], [0, 0, 0], ["refused", "left", "left"], [16, 32, 64])
    fits = laws(times)
    assert fits["tau_mem"] == {
        "n_runs": 3,
        "n_reached": 1,
        "definition": "definition of tau_mem",
        "refused": "1 of 3 runs reached it, and a law of 2 coefficients needs 3",
    }
    assert fits["tau_gen"]["n_runs"] == 2
    said = sentence(fits, times)
    assert said.startswith("tau_mem: no law (1 of 3 runs reached it")
    assert said.endswith("no run reached both times: at n = 64 tau_gen already true before step 5,000")


def test_memorization_before_quality_is_no_window() -> None:
    n = [16, 32, 64]
    times = table([20, 40, 80], ["reached"] * 3, [150, 150, 150], ["reached"] * 3, n)
    assert sentence(laws(times), times).endswith(
        "at n = 64 there is no window: memorization at step 80, quality at step 150"
    )
