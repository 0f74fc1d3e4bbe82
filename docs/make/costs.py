"""docs/data/study_costs.csv: what each figure of the study costs, both versions: `python -m docs.make.costs`.

Operations of the networks, counted as `diffmem study FIGURE --dry-run` does, to the last step of every run; hours
are those of one device that sustains 60 TFLOP/s.
"""

import csv
from pathlib import Path

from diffmem.config.compose import compose_grid
from diffmem.config.study import read_study, study_names
from diffmem.sweep.estimate import evaluation_calls
from diffmem.training import flops

TABLE = Path(__file__).resolve().parents[1] / "data" / "study_costs.csv"
HEAD = ("figure", "version", "runs", "steps", "training, PFLOP", "evaluation, PFLOP", "hours at 60 TFLOP/s")
RATE = 60e12


def rows() -> list[tuple[object, ...]]:
    """A row for each figure and version."""
    found: list[tuple[object, ...]] = []
    for study in map(read_study, study_names()):
        for version, arms in (("reduced", study.reduced), ("full", study.full)):
            runs = [config for words in arms.values() for config in compose_grid(words)]
            one = {config.model: flops.count(config.model, config.data.shape) for config in runs}
            train = sum(config.train.steps * config.batch * one[config.model].step for config in runs)
            measured = sum(
                len(config.checkpoint_steps()) * sum(evaluation_calls(config)) * one[config.model].call
                for config in runs
            )
            steps, hours = sum(config.train.steps for config in runs), (train + measured) / RATE / 3600
            numbers = [f"{value:.3g}" for value in (train / 1e15, measured / 1e15, hours)]
            found.append((study.name, version, len(runs), steps, *numbers))
    return found


if __name__ == "__main__":
    counted = rows()
    with TABLE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *counted])
