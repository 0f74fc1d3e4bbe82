"""What a label says and when a network copies: the arms of experiment=labels, their table and their figure.

    python -m benchmarks.labels OUT.csv [--figure OUT.png] [--runs runs/labels] [--table] [overrides]

Trains each arm (no labels, true, random and unique ones) as a sweep of its own in a folder of its own below `--runs`,
writes a row for each run and checkpoint, and prints when each run came to 5% copies. Started again, it goes on;
`--table` reads the runs that are there and trains nothing. Eight runs of a thousand steps of the quickstart's U-Net.
"""

import argparse
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from diffmem.analysis.figures import drawing, files
from diffmem.analysis.figures.curves import SHARES, quality_label
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from diffmem.cli.main import main as diffmem

ARMS = {"false": "no labels", "true": "true (10)", "random": "random (10)", "unique": "unique (one an image)"}
COLOURS = {"false": drawing.MUTED, "true": drawing.GENERALIZE, "random": drawing.LEAN, "unique": drawing.MEMORIZE}
COLUMNS = ["seed", "step", "f_mem", "f_mem_low", "f_mem_high", "f_mem_null", "p_train", "p_train_null"]
QUALITY = "mmd_pixels"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/labels"))
    parser.add_argument("--table", action="store_true", help="read the runs that are there")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    parts = []
    for arm in ARMS:
        folder = args.runs / arm
        words = ["sweep", "experiment=labels", f"data.labels={arm}", f"out={folder}", *args.overrides]
        if not args.table and (code := diffmem(words)):
            return code
        family = read_table(folder)
        parts.append(family.rows[[*COLUMNS, QUALITY]].assign(labels=arm))
        for run in family_times(family, n_boot=200).to_dict("records"):
            print(f"{ARMS[arm]:>22}  seed {run['seed']}  5% copies: {_time(run)}")
    table = pd.concat(parts, ignore_index=True)[["labels", *COLUMNS, QUALITY]]
    table = table[table["step"] <= table.groupby(["labels", "seed"])["step"].max().min()]  # that all runs came to
    table.to_csv(args.out, index=False, float_format="%.7g", lineterminator="\n")
    if args.figure:
        args.figure.write_bytes(files.render(figure(table), "png"))
    return 0


def _time(run: Mapping[Hashable, Any]) -> str:
    if run["tau_mem_status"] == "reached":
        return f"step {run['tau_mem']:.0f} [{run['tau_mem_low']:.0f}, {run['tau_mem_high']:.0f}]"
    return str(run["tau_mem_status"])


@drawing.styled
def figure(table: pd.DataFrame) -> Figure:
    """f_mem, p_train and quality against training time: a colour for each arm, a thin line for each run."""
    drawn = Figure(figsize=(13.5, 4.4), layout="constrained")
    zero = drawing.zero_place(table["step"])
    for axes, measure in zip(drawn.subplots(1, 3), ("f_mem", "p_train", QUALITY), strict=True):
        for arm, words in ARMS.items():
            part = table[table["labels"] == arm]
            for _, run in part.groupby("seed"):
                axes.plot(drawing.placed(run["step"], zero), run[measure], color=COLOURS[arm], linewidth=0.8, alpha=0.6)
            mean = part.groupby("step")[measure].mean()
            axes.plot(drawing.placed(mean.index, zero), mean, color=COLOURS[arm], linewidth=2.2, label=words)
        drawing.time_axis(axes, table["step"])
        axes.set(ylabel=SHARES.get(measure) or quality_label(measure), xlabel=drawing.STEP)
        if measure == QUALITY:
            axes.set_yscale("log")
            drawing.log_ticks(axes.yaxis, *axes.get_ylim())
        else:
            null = table[f"{measure}_null"].mean()
            axes.axhline(null, color=drawing.MUTED, linestyle=":", linewidth=1.2)
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(ARMS))
    return drawn


if __name__ == "__main__":
    sys.exit(main())
