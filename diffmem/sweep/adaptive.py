"""A sweep that spends its runs where they say most about the boundary between generalizing and memorizing.

The points of a grid are candidates. First the smallest and the largest n at every width, and a middle one; then, in
batches of as many runs as there are workers, what `choose` picks from what the finished runs have shown, until the
runs to spend are spent or it picks nothing. A run that an earlier, interrupted sweep began is found again and counts.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from diffmem.config.settings import Config, HereExecutor
from diffmem.errors import InputError
from diffmem.executors.pool import default_workers
from diffmem.store import RunDir
from diffmem.sweep.grid import RunResult, run_all
from diffmem.training.session import Plan

Point = tuple[int, int]  # (n, width)
# (candidates, how many) -> up to so many of them, best first, and why in one line
Choose = Callable[[Sequence[Point], int], tuple[Sequence[Point], str]]
SHARE = 3  # of the candidates one in so many is run, unless said otherwise
LEAST = 4


def budget(plans: Sequence[Plan], runs: int | None) -> int:
    """How many runs to spend: `runs`, or a third of the candidates and at least 4.

    Raises InputError for fewer than two runs, and for a grid that has no two n or varies more than n, width and seed.
    """
    ns = sorted({planned.config.data.n for planned in plans})
    if len(ns) < 2:
        raise InputError(
            f"--adaptive looks for a boundary in n, and the grid has data.n={ns[0]} alone: name at least two, such as "
            f"data.n={ns[0]},{4 * ns[0]}."
        )
    if len({repr(_setting(planned.config)) for planned in plans}) > 1:
        raise InputError(
            "--adaptive takes one family of runs, and the grid varies more than data.n, model.width, data.index and "
            "seed: sweep each setting by itself."
        )
    if runs is not None and runs < 2:
        raise InputError(f"--runs {runs} is out of range: it must be at least 2, the smallest and the largest n.")
    return min(runs or max(LEAST, len(plans) // SHARE), len(plans))


def boundary_step(plans: Sequence[Plan], step: int | None) -> int:
    """The training step at which the boundary is looked for: `step`, or the last one of the longest run.

    Raises InputError for a step that no run comes to.
    """
    last = max(planned.config.train.steps for planned in plans)
    if step is not None and not 1 <= step <= last:
        raise InputError(f"--step {step} is out of range: it must be from 1 to train.steps={last}.")
    return step or last


def run_adaptively(
    plans: Sequence[Plan],
    choose: Choose,
    runs: int,
    show: Callable[[list[RunDir]], AbstractContextManager[object]],
    say: Callable[[str], None],
) -> list[RunResult]:
    """Run up to `runs` of the grid's `plans`, in batches; `say` gets a line before each batch and one at the end.

    `show(runs)` is a progress display for one batch. Ends early where a batch was interrupted or every run failed.
    """
    left = sorted(plans, key=lambda planned: (planned.config.seed, planned.config.data.index))
    begun, first = [planned for planned in left if planned.run.path.exists()], _first(left)
    results: list[RunResult] = []

    def spend(batch: Sequence[Plan], why: str) -> None:
        chosen = [planned for planned in batch if planned in left][: runs - len(results)]
        if not chosen or _interrupted(results):
            return
        say(f"{len(results)} of {runs} runs spent. Next, {why}: {', '.join(map(_name, chosen))}.")
        results.extend(run_all(chosen, show([planned.run for planned in chosen])))
        left[:] = [planned for planned in left if planned not in chosen]

    say(f"Adaptive: {runs} runs to spend on {len(plans)} candidates.")
    spend(begun, "begun before")
    spend(first, "the ends and a middle")
    while not _interrupted(results) and not all(result.exit_code for result in results):
        picked, why = choose([_point(planned) for planned in left], _workers(plans))
        if not picked or len(results) >= runs:
            say(f"{len(results)} of {runs} runs spent. {'Would be next' if picked else 'Done'}, {why}.")
            break
        spend([next(planned for planned in left if _point(planned) == point) for point in picked], why)
    return results


def _interrupted(results: Sequence[RunResult]) -> bool:
    return any(result.exit_code > 2 for result in results)


def _first(left: Sequence[Plan]) -> list[Plan]:
    """The smallest and the largest n at each width, and the middle n at the middle width."""
    points = sorted({_point(planned) for planned in left}, key=lambda point: (point[1], point[0]))
    widths = sorted({width for _, width in points})
    at = {width: [point for point in points if point[1] == width] for width in widths}
    middle = at[widths[len(widths) // 2]]
    wanted = [end for width in widths for end in (at[width][0], at[width][-1])] + [middle[len(middle) // 2]]
    return [next(planned for planned in left if _point(planned) == point) for point in dict.fromkeys(wanted)]


def _point(planned: Plan) -> Point:
    return planned.config.data.n, planned.config.model.width


def _name(planned: Plan) -> str:
    n, width = _point(planned)
    return f"n={n} W={width} seed {planned.config.seed}"


def _setting(config: Config) -> dict[str, object]:
    """The trajectory's settings but for those in which the runs of a family differ."""
    whole = config.trajectory() | {"seed": None}
    whole["train"]["batch"] = config.train.batch  # as it is asked for, before it is cut to n
    for group, name in (("data", "n"), ("data", "index"), ("model", "width")):
        del whole[group][name]
    return whole


def _workers(plans: Sequence[Plan]) -> int:
    """How many runs the executor has under way at once."""
    config = plans[0].config
    if isinstance(config.executor, HereExecutor):
        return 1
    return config.executor.workers or default_workers(config)
