"""Phases and their boundary: planted laws come back, nothing is extrapolated, and proposals bisect."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.laws.boundary import boundary, boundary_words
from diffmem.analysis.laws.family import laws
from diffmem.analysis.laws.phase import PhaseRefused, diagram, phases, round_steps
from diffmem.analysis.laws.proposal import propose_next

NS = (16, 32, 64, 128, 256, 512)
NO_LAW: dict[str, Any] = {"refused": "too little"}


def planted(
    ns: tuple[int, ...] = NS,
    *,
    widths: tuple[int, ...] = (16,),
    replicates: int = 1,
    c: float = 20.0,
    a: float = 1.0,
    b: float = 0.0,
    scatter: float = 0.0,
    tau_gen: float = 100.0,
    last: float = 50_000.0,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Times with τ_mem = c n^a W^b but for `scatter` in log τ, in runs that end at step `last`."""
    n, width, seed = (part.ravel() for part in np.meshgrid(ns, widths, range(replicates), indexing="ij"))
    noise = rng.standard_normal(len(n)) if rng else np.zeros(len(n))
    tau = c * n**a * width.astype(float) ** b * np.exp(scatter * noise)
    times = pd.DataFrame({"run": [f"n{i}-w{j}-s{k}" for i, j, k in zip(n, width, seed, strict=True)]})
    times = times.assign(n=n, width=width, seed=seed)
    for name, value in (("tau_mem", tau), ("tau_gen", np.full(len(n), tau_gen))):
        reached = value <= last
        times[name] = np.where(reached, value, np.nan)
        times[f"{name}_status"] = np.where(reached, "reached", "right")
        times[f"{name}_last_step"] = last
        times[f"{name}_bound"] = 0.9 * last  # what a law takes: it bounds a fit, and decides no phase
        times[f"{name}_definition"] = "planted"
    return times


def law_of(times: pd.DataFrame) -> dict[str, Any]:
    return laws(times, n_boot=50)["tau_mem"]


def test_planted_times_have_their_phases() -> None:
    times = planted(widths=(8, 16), b=-0.5)
    table = phases(times, [50, 1000, 5000])
    assert list(table)[:4] == ["step", "n", "width", "phase"]
    assert len(table) == 3 * len(times)
    for row in table.to_dict("records"):
        tau = 20 * row["n"] * row["width"] ** -0.5
        expected = "memorizing" if tau <= row["step"] else "generalizing" if row["step"] >= 100 else "untrained"
        assert row["phase"] == expected
    assert set(table["phase"]) == {"memorizing", "generalizing", "untrained"}


def one(**changed: Any) -> pd.DataFrame:
    """Three n of which the first has `changed` times: τ_mem 1000 and τ_gen 100 of a run that ends at 2000."""
    times = planted((16, 32, 64), c=1000.0, a=0.0, last=2000.0)
    for name, value in changed.items():
        times.loc[0, name] = value
    return times


@pytest.mark.parametrize(
    ("changed", "step", "phase"),
    [
        ({}, 999, "generalizing"),
        ({}, 1000, "memorizing"),
        ({}, 10**6, "memorizing"),  # it has memorized, and stays so beyond its last step
        ({"tau_mem_status": "right", "tau_mem": np.nan}, 2000, "generalizing"),
        ({"tau_mem_status": "right", "tau_mem": np.nan}, 2001, "unknown"),
        ({"tau_mem_status": "left", "tau_mem": np.nan, "tau_mem_last_step": 50}, 50, "memorizing"),
        ({"tau_mem_status": "left", "tau_mem": np.nan, "tau_mem_last_step": 50}, 49, "unknown"),
        ({"tau_mem_status": "refused", "tau_mem": np.nan}, 500, "unknown"),
        ({"tau_gen_status": "right", "tau_gen": np.nan}, 999, "untrained"),
        ({"tau_gen_status": "right", "tau_gen": np.nan, "tau_gen_last_step": 300}, 999, "not memorizing"),
        ({"tau_gen_status": "refused", "tau_gen": np.nan}, 999, "not memorizing"),
        ({"tau_gen_status": "refused", "tau_gen": np.nan}, 1000, "memorizing"),
        ({"tau_gen_status": "left", "tau_gen": np.nan, "tau_gen_last_step": 10}, 20, "generalizing"),
    ],
)
def test_a_run_is_unknown_where_its_end_leaves_its_phase_open(changed: dict[str, Any], step: int, phase: str) -> None:
    assert phases(one(**changed), [step])["phase"].iloc[0] == phase


def test_two_values_of_n_make_no_diagram() -> None:
    with pytest.raises(PhaseRefused, match="have 2 distinct n, and a phase diagram needs 3"):
        diagram(planted((16, 32)), NO_LAW)


@pytest.mark.parametrize(("c", "a", "b"), [(20.0, 1.0, 0.0), (200.0, 1.0, -1.0), (200.0, 0.7, -0.5)])
def test_the_boundary_of_a_planted_law_is_its_inverse(c: float, a: float, b: float) -> None:
    times = planted(widths=(8, 16), a=a, b=b, c=c)
    steps = [700, 1000, 2000, 5000]
    edges = boundary(times, steps, law_of(times), n_boot=50)
    inside = edges[edges["status"] == "bracketed"]
    assert len(inside) >= 5
    expected = (inside["step"] / (c * inside["width"].astype(float) ** b)) ** (1 / a)
    np.testing.assert_allclose(inside["n_star"], expected, rtol=1e-9)
    np.testing.assert_allclose(inside["low"], expected, rtol=1e-3)  # a law without scatter leaves nothing open
    for _, one_width in inside.groupby("width"):
        assert (one_width["n_star"].diff().iloc[1:] > 0).all()


def test_beyond_the_runs_there_is_a_bound_and_no_number() -> None:
    edges = boundary(planted(), [50, 1000, 20_000], NO_LAW)
    assert edges["status"].tolist() == ["below", "bracketed", "above"]
    assert edges["n_star"].isna().tolist() == [True, False, True]
    assert [boundary_words(row) for row in edges.to_dict("records")] == ["<= 16", "50 [32, 64]", ">= 512"]


def test_censored_runs_bound_the_boundary_and_do_not_place_it() -> None:
    times = planted(last=1300.0)  # n = 64 (τ = 1280) is the last to memorize
    edges = boundary(times, [1000, 1300, 1400], law_of(times), n_boot=50)
    assert edges["status"].tolist() == ["bracketed", "between", "above"]
    assert edges[["low", "high"]].iloc[1].tolist() == [64, 128]
    assert edges["n_star"].isna().tolist() == [False, True, True]
    assert boundary_words(edges.iloc[1].to_dict()) == "between 64 and 128"
    # at step 1400 all runs of n > 64 have ended: what is known is that n = 64 memorizes
    assert boundary_words(edges.iloc[2].to_dict()) == ">= 64"
    nothing = boundary(planted(c=10_000, last=100), [100, 200], NO_LAW)
    assert nothing["status"].tolist() == ["below", "unknown"]


@pytest.mark.slow
def test_noisy_times_give_a_boundary_that_rises_with_step() -> None:
    rng = np.random.default_rng(0)
    steps = list(np.unique(np.geomspace(200, 9000, 40).astype(int)))
    turned_back = 0
    for _ in range(50):
        times = planted(scatter=0.8, replicates=2, rng=rng)
        ends = rng.choice([800, 3000, 50_000], size=len(times))  # runs that end at different steps
        cut = times["tau_mem"] > ends
        times.loc[cut, "tau_mem_status"] = "right"
        times.loc[cut, "tau_mem"] = np.nan
        times["tau_mem_last_step"] = times["tau_mem_bound"] = ends
        turned_back += not times.groupby("n")["tau_mem"].mean().is_monotonic_increasing
        edges = boundary(times, steps, NO_LAW)
        known = edges[edges["status"] != "unknown"]
        for end in ("low", "high"):  # n* lies from the one to the other
            assert known["n_star"].fillna(known[end]).is_monotonic_increasing
            assert known.loc[known["status"] == "bracketed", end].is_monotonic_increasing
    assert turned_back > 25


def test_a_non_monotone_pair_is_pooled() -> None:
    times = planted((16, 32, 64, 128))
    times.loc[[1, 2], "tau_mem"] = [900.0, 400.0]  # n = 32 takes longer than n = 64
    edges = boundary(times, [640, 660], NO_LAW)
    pooled = (900 + 400) / 2
    geometric = np.sqrt(900 * 400)
    assert geometric < 640 < pooled < 660  # medians are of log τ
    assert (edges["n_star"] > 64).all()
    assert boundary(times, [500], NO_LAW)["n_star"].between(16, 32).all()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("replicates", "last"), [(1, 50_000.0), (3, 50_000.0), (1, 4000.0)])
def test_intervals_of_the_boundary_cover(replicates: int, last: float) -> None:
    rng = np.random.default_rng(1)
    hits, errors = [], []
    for draw in range(90):
        times = planted(scatter=0.3, replicates=replicates, last=last, rng=rng)
        row = boundary(times, [1500], law_of(times), n_boot=100, seed=draw).iloc[0]
        if row["status"] == "bracketed":
            hits.append(row["low"] <= 75 <= row["high"])
            errors.append(np.log(row["n_star"] / 75))
    assert len(hits) > 67
    assert np.mean(hits) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / len(hits))
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(len(errors)) + 0.03


def test_round_steps_lie_within_what_was_seen() -> None:
    assert round_steps(planted(last=50_000.0)) == [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000]
    assert round_steps(planted(tau_gen=150.0, last=4999.0)) == [100, 200, 500, 1000, 2000]
    assert round_steps(planted(tau_gen=150.0, last=180.0)) == [100]
    with pytest.raises(PhaseRefused, match="no run reached"):
        round_steps(planted(last=10.0))
    table, edge = diagram(planted(), NO_LAW)
    assert set(table["step"]) == set(edge["step"]) == set(round_steps(planted()))


def run_rounds(
    candidates: list[tuple[int, int]], start: list[tuple[int, int]], step: int, number: int, **law: Any
) -> tuple[pd.DataFrame, int]:
    """What is known after proposals have run out, and in how many rounds."""
    done, rounds = list(start), 0
    while True:
        times = pd.concat([planted((n,), widths=(width,), **law) for n, width in done], ignore_index=True)
        left = [point for point in candidates if point not in done]
        proposal = propose_next(times, left, step=step, number=number)
        if not proposal.chosen:
            return times, rounds
        assert len(proposal.chosen) == len(set(proposal.chosen)) <= number
        assert set(proposal.chosen) <= set(left)
        done += proposal.chosen
        rounds += 1


def test_the_candidate_that_bisects_is_proposed() -> None:
    times = planted((16, 256))
    candidates = [(n, 16) for n in (32, 64, 128)]
    proposal = propose_next(times, candidates, step=1000)  # n* = 50
    assert proposal.chosen == [(64, 16)]
    assert proposal.why == ("at step 1,000, in the middle of what is open: n=64 at W=16 (n* between 16 and 256)")
    assert propose_next(planted((16, 64, 256)), candidates, step=1000).chosen == [(32, 16)]
    assert propose_next(planted((16, 64, 256)), candidates, step=2000).chosen == [(128, 16)]
    assert propose_next(times, candidates, step=1000, number=3).chosen == [(64, 16), (32, 16), (128, 16)]
    known = propose_next(planted((16, 32, 64, 256)), [(128, 16)], step=1000)
    assert known.chosen == []
    assert "no candidate is left that would move a boundary: n* between 32 and 64 at W=16" in known.why


def test_the_width_with_most_left_open_comes_first() -> None:
    times = pd.concat([planted((16, 512)), planted((16, 64), widths=(32,))], ignore_index=True)
    candidates = [(32, 32), (32, 16), (64, 16), (128, 16), (256, 16)]
    assert propose_next(times, candidates, step=1000).chosen == [(64, 16)]
    assert propose_next(times, [(n, 8) for n in (16, 32, 64)], step=1000).chosen == [(32, 8)]  # nothing known there


def test_nothing_is_proposed_where_the_boundary_is_outside_the_grid() -> None:
    candidates = [(n, 16) for n in (32, 64, 128)]
    for step, words in ((100, "n* <= 16"), (50_000, "n* >= 256")):
        proposal = propose_next(planted((16, 256)), candidates, step=step)
        assert proposal.chosen == []
        assert words in proposal.why


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_rounds_bracket_the_boundary_in_the_logarithm_of_the_candidates(number: int) -> None:
    ns = [16 + 8 * i for i in range(33)]
    candidates = [(n, width) for n in ns for width in (8, 16)]
    start = [(n, width) for n in (ns[0], ns[-1]) for width in (8, 16)]
    for step in (700, 1500, 4000):
        times, rounds = run_rounds(candidates, start, step, number, b=-0.1, c=20 * 12**0.1)
        assert rounds <= 2 * 5 / number + 1  # 31 candidates inside at each of two widths: 5 halvings each
        for width, runs in times.groupby("width"):
            memorizing = runs["tau_mem"] <= step
            low, high = runs["n"][memorizing].max(), runs["n"][~memorizing].min()
            assert high - low == 8, (width, step)


def test_a_run_whose_phase_is_unknown_is_tried_with_another_seed() -> None:
    times = planted((16, 256))
    early = planted((64,), last=10.0)
    known = pd.concat([times, early], ignore_index=True)
    assert propose_next(known, [(64, 16)], step=1000).chosen == [(64, 16)]  # another seed of the same point
    assert propose_next(pd.concat([times, planted((64,))]), [(64, 16)], step=1000).chosen == []
