"""A sweep's cost in words: a line for each kind of run, then what the parts cost; or every run, for a machine."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from diffmem.sweep.estimate import Estimate, RunCost

HEAD = (
    *("order", "runs", "state", "model", "W", "n", "batch", "steps", "checkpoints"),
    *("training", "evaluation", "disk", "longest"),
)
RANGES = 3  # of the order that are written out
SECONDS = ((365.25 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min"))
PREFIXES = "", "k", "M", "G", "T", "P", "E", "Z", "Y"


def described(cost: Estimate) -> str:
    """The cost as lines to be read: never more than one for each model, width, number of steps and state."""
    parts = [_opening(cost)]
    if any(run.left.state != "over" for run in cost.runs):
        at_most = "\nAt most: a run ends earlier where f_mem passes stop.f_mem." if cost.at_most else ""
        parts += [_aligned([HEAD, *_kinds(cost.runs)]), _aligned(_sums(cost.runs)) + at_most, _closing(cost)]
    return "\n\n".join(parts)


def as_mapping(cost: Estimate) -> dict[str, Any]:
    """The cost with every run in its order, in operations, bytes and seconds, for JSON."""
    return {
        "folder": str(_folder(cost)),
        "workers": cost.workers,
        "at_once": cost.at_once,
        "tflops": cost.tflops,
        "seconds": cost.seconds,
        "disk": sum(run.disk for run in cost.runs),
        "free": cost.free,
        "data_at_hand": cost.at_hand,
        "at_most": cost.at_most,
        "runs": [_run(run) for run in cost.runs],
    }


def _run(run: RunCost) -> dict[str, Any]:
    config, left = run.planned.config, run.left
    return {
        "run": run.planned.run.name,
        "model": config.model.name,
        "width": config.model.width,
        "n": config.data.n,
        "seed": config.seed,
        "batch": config.batch,
        "state": left.state,
        "steps": left.steps,
        "checkpoints": left.checkpoints,
        "rows": left.rows,
        "flops": {"training": run.train_flops, "sampling": run.sample_flops, "losses": run.loss_flops},
        "disk": run.disk,
        "seconds": {
            "training": run.train_seconds,
            "sampling_and_losses": run.network_seconds,
            "other_measures": run.beside_seconds,
        },
    }


def _opening(cost: Estimate) -> str:
    states = [run.left.state for run in cost.runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("new", "begun", "over") if state in states)
    line = f"{len(states)} {'run' if len(states) == 1 else 'runs'} in {_folder(cost)}, longest first: {counts}."
    if not cost.at_hand:
        line += "\nThe images are not at hand (data.root=null), so every run counts as new."
    if set(states) == {"over"}:
        line += " Nothing to do."
    return line


def _kinds(runs: Sequence[RunCost]) -> list[tuple[str, ...]]:
    """A line for each kind of run that has something left, in the order of their first runs."""

    def kind(place: int) -> tuple[Any, ...]:
        config, left = runs[place].planned.config, runs[place].left
        return config.model.name, config.model.width, config.train.steps, left.state

    places = [place for place in range(len(runs)) if runs[place].left.state != "over"]
    kinds = {kind(place): [other for other in places if kind(other) == kind(place)] for place in places}
    return [(_ranges(members), *_kind([runs[place] for place in members])) for members in kinds.values()]


def _kind(runs: Sequence[RunCost]) -> tuple[str, ...]:
    configs = [run.planned.config for run in runs]
    return (
        str(len(runs)),
        runs[0].left.state,
        configs[0].model.name,
        str(configs[0].model.width),
        _span(config.data.n for config in configs),
        _span(config.batch for config in configs),
        f"{sum(run.left.steps for run in runs):,}",
        f"{sum(run.left.checkpoints for run in runs):,}",
        _flop(sum(run.train_flops for run in runs)),
        _flop(sum(run.sample_flops + run.loss_flops for run in runs)),
        _bytes(sum(run.disk for run in runs)),
        _clock(max(run.seconds for run in runs)),
    )


def _sums(runs: Sequence[RunCost]) -> list[tuple[str, ...]]:
    train, sampled, losses = (
        sum(getattr(run, f"{part}_flops") for run in runs) for part in ("train", "sample", "loss")
    )
    network = sum(run.network_seconds for run in runs) / max(sampled + losses, 1)
    return [
        ("what", "operations", "all runs, one after another"),
        ("training", _flop(train), _clock(sum(run.train_seconds for run in runs))),
        ("sampling", _flop(sampled), _clock(sampled * network)),
        ("losses", _flop(losses), _clock(losses * network)),
        ("other measures", "not counted", _clock(sum(run.beside_seconds for run in runs))),
    ]


def _closing(cost: Estimate) -> str:
    disk = sum(run.disk for run in cost.runs)
    room = f"disk: {_bytes(disk)} to be written, {_bytes(cost.free)} free"
    if disk > cost.free:
        room += "; that is not enough: choose another out, a coarser grid, or a smaller eval.keep_samples"
    if cost.tflops is None:
        shared = f" on {cost.workers} of its GPUs, those that share one in turns" if cost.at_once > cost.workers else ""
        where = f"on this machine, {cost.at_once} at once{shared}, from steps and network calls measured just now"
    else:
        devices = "one device that sustains" if cost.workers == 1 else f"{cost.workers} devices that each sustain"
        half = any(run.planned.config.train.precision == "bf16" for run in cost.runs)
        fp32 = "evaluation too, though it is in fp32; " if half else ""
        where = f"on {devices} {cost.tflops:g} TFLOP/s ({fp32}other measures: roughly as here)"
    return (
        f"{room}\ntime: {_clock(cost.seconds)} {where}\n"
        "Operations: convolutions, matrix products and attention; a multiply-add is two.\n"
        "Not in the time: starting processes, writing files, fit and report."
    )


def _folder(cost: Estimate) -> Path:
    return cost.runs[0].planned.run.path.parent


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first and words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [any(row[place][:1].isdigit() for row in rows[1:]) and place > 0 for place in range(len(widths))]
    cells = [
        [word.rjust(width) if to else word.ljust(width) for word, width, to in zip(row, widths, right, strict=True)]
        for row in rows
    ]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _ranges(places: Sequence[int]) -> str:
    """Places from 1 in order as ranges: `1-4, 6`."""
    runs = [[place for _, place in group] for _, group in groupby(enumerate(places), lambda pair: pair[1] - pair[0])]
    words = [_span([run[0] + 1, run[-1] + 1]) for run in runs]
    return ", ".join(words[:RANGES]) + (", ..." if len(words) > RANGES else "")


def _span(values: Iterable[int]) -> str:
    known = set(values)
    return f"{min(known)}-{max(known)}" if len(known) > 1 else str(min(known))


def _flop(count: float) -> str:
    power = 0
    while count >= 999.5 and power < len(PREFIXES) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.3g} {PREFIXES[power]}FLOP"


def _bytes(count: float) -> str:
    return _flop(count).replace("FLOP", "B")


def _clock(seconds: float) -> str:
    for unit, word in SECONDS:
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.3g} {word}"
    return f"{seconds:.2g} s"
