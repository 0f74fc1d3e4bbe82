"""A family of runs in Python: as one table, fitted, drawn and reported.

    table = diffmem.load_family("runs/quickstart")      # every row with its run's times
    found = diffmem.fit("runs/quickstart")              # found.sentence, found.times, found.laws
    found.draw("times_vs_n")                            # a figure and the table behind it, shown in a notebook

The same as `diffmem fit`, `figures` and `report`; nothing is written before it is asked for.
"""

import html
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from diffmem import arguments
from diffmem.analysis import pipeline
from diffmem.analysis.figures import registry
from diffmem.analysis.figures.files import Picture
from diffmem.analysis.figures.material import Material
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from diffmem.analysis.times.words import time_words
from diffmem.errors import InputError
from diffmem.pictures import Pictures

KEYS = ["run", "n", "width", "seed", "index"]


@dataclass(frozen=True)
class Fit:
    """A family with its times and laws (`fitted`), and the figures that can be drawn of it."""

    fitted: pipeline.Fitted
    pictures: Pictures = field(default_factory=Pictures)

    @property
    def sentence(self) -> str:
        """What the family shows, in one sentence."""
        return self.fitted.sentence

    @property
    def rows(self) -> pd.DataFrame:
        """One row for each run and step: the contents of metrics.csv."""
        return self.fitted.family.rows

    @property
    def times(self) -> pd.DataFrame:
        """One row a run: the contents of timescales.csv."""
        return self.fitted.times

    @property
    def laws(self) -> dict[str, dict[str, Any]]:
        """The law of each time by name: the contents of laws.json."""
        return self.fitted.laws

    @property
    def warnings(self) -> list[str]:
        """What was left out or is incomplete."""
        return [*self.fitted.family.warnings, *self.pictures.notes]

    @cached_property
    def figures(self) -> list[str]:
        """The names of the figures that these runs have."""
        return list(self._drawn)

    def draw(self, name: str) -> Picture:
        """The figure called `name`, one of `figures`, with the table behind it: (.figure, .data).

        Raises InputError for another name.
        """
        if arguments.word("name", name) not in self._drawn:
            raise InputError(f"figure {name!r} is not one of those these runs have: {', '.join(self._drawn)}.")
        return self._drawn[name]

    def save(self, out: str | Path | None = None) -> Path:
        """Write the tables into `out` (None: where `diffmem fit` would), and return it."""
        placed = self._placed(out)
        pipeline.write_tables(placed)
        return placed.folder

    def report(self, out: str | Path | None = None) -> Path:
        """Write tables, figures and report.html into `out` (None: where `diffmem report` would); returns the page."""
        return pipeline.report(self._placed(out), self.pictures, self.pictures.notes)

    def _placed(self, out: str | Path | None) -> pipeline.Fitted:
        return self.fitted if out is None else replace(self.fitted, folder=arguments.path("out", out))

    @cached_property
    def _material(self) -> Material:
        return pipeline.material(self.fitted, self.pictures)

    @cached_property
    def _drawn(self) -> dict[str, Picture]:
        return registry.draw_all(self._material)

    def _repr_html_(self) -> str:
        names = [name for name in ("tau_gen", "tau_bias", "fmem_onset", "tau_mem") if f"{name}_status" in self.times]
        rows = [
            {**{key: row[key] for key in KEYS[:2]}, **{name: time_words(row, name) for name in names}}
            for row in self.times.to_dict("records")
        ]
        return f"<p>{html.escape(self.sentence)}</p>{pd.DataFrame(rows).to_html(index=False)}"


def fit(source: str | Path, *, data: str | Path | None = None, **choices: Any) -> Fit:
    """Read the runs in `source` and fit their times and laws.

    Args:
        source: a folder of runs, one run, a csv with the columns of metrics.csv, or a folder of the study's own code.
        data: the folder of the training images, where `data.root` named one, for figures that show them.
        choices: how times are read and laws fitted: mem, gen, bias, level, quality, loss_t, samples and group, as in
            `diffmem fit --help`.

    Raises:
        InputError: no family of runs there, or a choice that is none. TypeError: a choice of another name.
    """
    known = pipeline.Choices.__dataclass_fields__
    for name in choices:
        if name not in known:
            raise TypeError(f"fit() got an unexpected keyword argument {name!r}: it takes data, {', '.join(known)}.")
    pictures = Pictures(None if data is None else arguments.path("data", data))
    return Fit(pipeline.fit(source, pipeline.Choices(**choices)), pictures)


def load_family(source: str | Path) -> pd.DataFrame:
    """The rows of all runs in `source` as one table, each with the times of its run (`timescales.csv`).

    One row for each run and step: run, n, width, seed, index, step, the measures, and tau_gen, tau_bias, fmem_onset and
    tau_mem with their statuses, bounds and intervals. `source` as for `fit`. Raises InputError as `fit` does.
    """
    family = read_table(arguments.path("source", source))
    times = family_times(family)
    return family.rows.merge(times.drop(columns=KEYS[1:]), on="run", how="left", validate="many_to_one")
