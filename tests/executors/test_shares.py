"""Shares of pretended GPUs: what fits and no more, the emptiest first, refilled at once, each shape measured once."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem.config.settings import Config
from diffmem.executors.shares import FOR_RUNS, WHOLE, Share, Shares
from diffmem.store import RunDir
from diffmem.training import footprint
from diffmem.training.machine import Gpu
from diffmem.training.plan import Plan
from tests.helpers.tiny import tiny

UNIT = 2**30
MOST = 16


@cache
def run(number: int, width: int = 4) -> Plan:
    """Runs of one width are of one shape."""
    return Plan(replace(_of_width(width), seed=number), RunDir(Path(f"run-{number}-{width}")))


@cache
def _of_width(width: int) -> Config:
    return tiny(model={"width": width})


def gpu(number: int, units: float = 10) -> Gpu:
    """For runs it has nine tenths of so many GiB."""
    return Gpu(str(number), int(units * UNIT))


def take(shares: Shares, planned: Plan) -> Share:
    share = shares.take(planned)
    assert share is not None
    return share


def measured(shares: Shares, planned: Plan, taken: float | None) -> None:
    """The shape of a run is measured, as `taken` GiB in all."""
    share = take(shares, planned)
    assert share.measured is not None
    shares.learn(share, None if taken is None else taken * UNIT - footprint.beside(planned.config))
    shares.free(share)


def taken_by(shares: Shares, plans: Sequence[Plan]) -> list[Share]:
    return [share for planned in plans if (share := shares.take(planned)) is not None]


def test_as_many_fit_as_the_memory_has_room_for() -> None:
    shares = Shares([gpu(0), gpu(1)], MOST)
    measured(shares, run(0), 2.2)  # four times in nine
    placed = taken_by(shares, [run(number) for number in range(20)])
    assert [share.gpu for share in placed] == [gpu(0), gpu(1)] * 4
    assert {share.part for share in placed} == {Fraction(int(2.2 * UNIT)) / (FOR_RUNS * 10 * UNIT)}


def test_no_more_than_there_are_cores_for() -> None:
    shares = Shares([gpu(0)], most=3)
    measured(shares, run(0), 0.01)
    assert [share.part for share in taken_by(shares, [run(number) for number in range(9)])] == [Fraction(1, 3)] * 3


def test_a_share_is_refilled_by_a_run_of_another_shape() -> None:
    """Three of 3 GiB fill 9; in the place of one there are two of 1.5, and a third that is there fits no more."""
    large, small = [run(number, 8) for number in range(4)], [run(number, 4) for number in range(3)]
    shares = Shares([gpu(0)], MOST)
    measured(shares, large[0], 3)
    measured(shares, small[0], 1.5)
    first, *_ = taken_by(shares, large)
    assert taken_by(shares, [large[3], *small]) == []
    shares.free(first)
    assert len(taken_by(shares, small)) == 2
    assert shares.take(large[3]) is None


def test_a_large_gpu_holds_more() -> None:
    small, large = gpu(0), gpu(1, 40)
    shares = Shares([small, large], MOST)
    measured(shares, run(0), 4)
    placed = [share.gpu for share in taken_by(shares, [run(number) for number in range(20)])]
    assert (placed.count(small), placed.count(large)) == (2, 9)


def test_a_shape_is_measured_once_in_all_that_is_free_while_its_runs_wait() -> None:
    shares = Shares([gpu(0)], MOST)
    share = take(shares, run(0))
    assert (share.part, share.measured) == (WHOLE, footprint.shape(run(0).config))
    assert shares.take(run(1)) is None
    shares.free(share)  # the measurement was cut off
    measured(shares, run(1), 3)
    assert take(shares, run(0)).measured is None
    beside = take(shares, run(0, 8))
    assert (beside.part, beside.measured) == (Fraction(2, 3), footprint.shape(run(0, 8).config))
    assert shares.take(run(1)) is None  # as long as it lasts


def test_what_cannot_be_measured_beside_others_is_measured_alone_and_then_runs_alone() -> None:
    shares = Shares([gpu(0)], MOST)
    measured(shares, run(0), 3)
    small = take(shares, run(0))
    measured(shares, run(0, 8), None)
    assert shares.take(run(0, 8)) is None
    shares.free(small)
    measured(shares, run(0, 8), None)
    share = take(shares, run(0, 8))
    assert (share.alone, share.measured) == (True, None)
    assert shares.take(run(1)) is None


def test_more_than_a_gpu_has_is_a_whole_one() -> None:
    shares = Shares([gpu(0)], MOST)
    measured(shares, run(0), 9.5)
    assert take(shares, run(0)).alone


def test_a_run_that_is_to_be_alone_waits_for_an_empty_gpu() -> None:
    shares = Shares([gpu(0), gpu(1)], MOST)
    measured(shares, run(0), 4)
    first, second = taken_by(shares, [run(0), run(1)])
    shares.set_alone(run(2))
    assert shares.take(run(2)) is None
    shares.free(second)
    assert take(shares, run(2)) == Share(gpu(1), WHOLE)
    assert shares.take(run(3)) == replace(first)


def test_a_fixed_number_is_not_measured() -> None:
    shares = Shares([gpu(0), gpu(1)], 3, per_device=3)
    placed = taken_by(shares, [run(number, 4 + 4 * (number % 2)) for number in range(9)])
    assert {(share.part, share.measured) for share in placed} == {(Fraction(1, 3), None)}
    assert len(placed) == 6


def test_a_gpu_that_is_left_out_takes_nothing_more_and_none_is_said() -> None:
    shares = Shares([gpu(0), gpu(1)], 1, per_device=1)
    first, second = taken_by(shares, [run(0), run(1)])
    shares.drop(gpu(0))
    shares.free(first)
    assert shares.take(run(2)) is None
    shares.free(second)
    assert take(shares, run(2)).gpu == gpu(1)
    shares.drop(gpu(1))
    assert take(shares, run(3)).gpu is None


@given(
    units=st.lists(st.floats(2, 80), min_size=1, max_size=3),
    needs=st.dictionaries(st.sampled_from([4, 8, 12, 16]), st.floats(1.2, 100), min_size=1),
    moves=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=40),
)
@settings(max_examples=40)
def test_shares_never_come_to_more_than_the_memory_and_nothing_that_fits_waits(
    units: list[float], needs: dict[int, float], moves: list[tuple[int, bool]]
) -> None:
    gpus = [gpu(number, size) for number, size in enumerate(units)]
    shares = Shares(gpus, MOST)
    for width, need in needs.items():
        measured(shares, run(0, width), need)
    placed: dict[Plan, Share] = {}
    for number, ends in moves:
        if ends and placed:
            shares.free(placed.pop(list(placed)[number % len(placed)]))
        planned = run(1 + number, list(needs)[number % len(needs)])
        if planned in placed:
            continue
        used = {one: sum((share.part for share in placed.values() if share.gpu == one), Fraction(0)) for one in gpus}
        share, need = shares.take(planned), needs[planned.config.model.width]
        parts = {one: Fraction(int(need * UNIT)) / (FOR_RUNS * one.memory) for one in gpus}
        fits = [one for one in gpus if used[one] + min(max(parts[one], Fraction(1, MOST)), WHOLE) <= 1]
        assert (share is None) == (not fits)
        if share is not None:
            assert share.gpu in fits
            assert used[share.gpu] == min(used[one] for one in fits)  # the emptiest
            placed[planned] = share
