"""docs/gallery.md from what is kept of each study, and what is kept from the folder a study was written into.

    python -m docs.make.gallery                              # writes the page anew
    python -m docs.make.gallery fig3=runs/study/fig3/reduced # keeps what that folder holds of fig3 first

Kept are docs/data/study/FIGURE.csv, the claims; docs/data/study/FIGURE_figure.csv, the table behind the figure; and
docs/assets/gallery/FIGURE.png.
"""

import sys
from pathlib import Path

import pandas as pd
from PIL import Image

from diffmem.analysis.studies import claims
from diffmem.config.study import Study, read_study, study_names
from docs.make import tables

DOCS = Path(__file__).resolve().parents[1]
TABLES, PICTURES = DOCS / "data" / "study", DOCS / "assets" / "gallery"
WIDEST, COLOURS = 1100, 128  # of a kept picture: pixels, and colours of its palette
INTRODUCTION = """\
# The study's figures

Every figure of the study is one command, which trains its runs (or goes on with them), reads them and says what
became of each claim. The tables below are those of the reduced versions, which run on two cores; `diffmem study FIGURE
--full` is the study's own setting, for GPUs. "Ours" has its 95% interval. A claim *agrees* where that interval holds
the published number or meets the published range, however wide it is; a claim of a sign is *open* where the interval
holds both signs, and any is where there is no interval.

`diffmem study` lists the figures, `diffmem study FIGURE --dry-run` says what one costs. `make gallery` writes this page
from the tables in `docs/data/study`, in which no number is written by hand.

Two results have verbs of their own, and stand in [theory.md](theory.md): the least error of the score ~ ψ_n^-0.59
(`diffmem theory score_error`), and theory, random features and networks on one page (`diffmem theory overlay`). The
mixture's Kullback-Leibler divergence is in [mixture.md](mixture.md).
"""

COSTS = """\
## What the runs cost

Counted on the networks, to the last step of every run, though those of digits stop when they memorize; the hours are
those of one device that sustains 60 TFLOP/s. `python -m docs.make.costs` counts anew.

<!-- table study_costs.csv -->
<!-- end -->
"""


def page() -> str:
    """The whole page: a section for each study of which something is kept, those of which nothing is, and the costs."""
    studies = [read_study(name) for name in study_names()]
    kept = [study for study in studies if (TABLES / f"{study.name}.csv").exists()]
    left = [f"* `diffmem study {study.name}`: {study.title}" for study in studies if study not in kept]
    rest = ["## Not run yet\n\n" + "\n".join(left) + "\n"] if left else []
    return tables.filled("\n".join([INTRODUCTION, *map(_section, kept), *rest, COSTS]))


def keep(name: str, folder: Path) -> None:
    """Copy what is kept of the study `name` from the `folder` that it was written into; the picture smaller."""
    for place in (TABLES, PICTURES):
        place.mkdir(parents=True, exist_ok=True)
    (TABLES / f"{name}.csv").write_bytes((folder / claims.FILE).read_bytes())
    (TABLES / f"{name}_figure.csv").write_bytes((folder / "figure.csv").read_bytes())
    with Image.open(folder / "figure.png") as picture:
        small = picture.convert("RGB")
        small.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
        small.quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True)


def _section(study: Study) -> str:
    rows = pd.read_csv(TABLES / f"{study.name}.csv", dtype=dict.fromkeys(claims.WORDS, str), keep_default_na=True)
    head = ["claim", "published", "ours", "setting", "agrees", "why"]
    lines = [head, ["---"] * len(head)]
    for row in rows.fillna(dict.fromkeys(claims.WORDS, "")).to_dict("records"):
        ours = claims.interval(row["ours"], row["low"], row["high"])
        lines.append([ours if name == "ours" else _cell(row[name]) for name in head])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        f"## {study.title}\n\n`diffmem study {study.name}`\n\n{table}\n"
        f"![{study.title}](assets/gallery/{study.name}.png)\n"
    )


def _cell(words: str) -> str:
    """Words that Markdown shows as they are, on the site, which knows no escape of a tilde, as elsewhere."""
    return words.replace("|", r"\|").replace("_", r"\_").replace("~", "&#126;")


if __name__ == "__main__":
    for word in sys.argv[1:]:
        keep(word.partition("=")[0], Path(word.partition("=")[2]))
    (DOCS / "gallery.md").write_text(page())
