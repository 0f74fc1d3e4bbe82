"""The figures of a family: name, title, caption and what draws each. A figure is its file and a row of `ENTRIES`."""

from collections.abc import Callable
from typing import NamedTuple

from . import collapse, losses, memorization, phase, samples, times_vs_n, width_scaling
from .files import Picture
from .material import Material


class Entry(NamedTuple):
    """`title` and `caption` (what to look for) are the page's; `draw` gives None where there is nothing to draw."""

    name: str
    title: str
    caption: str
    draw: Callable[[Material], Picture | None]


ENTRIES = (
    Entry(
        "times_vs_n",
        "When to stop: the two times against n",
        "Filled marks are times with their 95% interval; an open mark with an arrow is a bound, because the run had "
        "not reached that time by its last step (up) or was past it at its first (down). Lines are the fitted laws.",
        times_vs_n.draw,
    ),
    Entry(
        "memorization_and_quality",
        "Memorization and quality during training",
        "The same curves twice: against training time, and against training time per training image. Curves that lie "
        "on each other on the left do not depend on n; curves that lie on each other on the right move in proportion "
        "to n. Bands are 95% intervals.",
        memorization.draw_both,
    ),
    Entry(
        "fmem_vs_step_per_n",
        "Memorization against training time per image",
        "If the memorization time grows in proportion to n, the curves of all n fall together here.",
        memorization.draw_per_n,
    ),
    Entry(
        "width_scaling",
        "Training time multiplied by the width",
        "On the left as trained; on the right against training time multiplied by the width W. If both times go like "
        "1/W, the curves of all widths fall together on the right.",
        width_scaling.draw,
    ),
    Entry(
        "losses",
        "Losses at fixed diffusion times",
        "Where the two losses part, the network begins to learn its own training images by heart.",
        losses.draw,
    ),
    Entry(
        "samples_beside_neighbours",
        "Generated samples beside their nearest training images",
        "Above: generated; below: the nearest training image; the number is d1/d2, and a red frame is a memorized one.",
        samples.draw,
    ),
    Entry(
        "collapse",
        "Collapse of the memorization curves",
        "On the left as measured; on the right against training time divided by the powers of n (and W) that bring the "
        "curves together best. Both axes span equally many decades, so what narrows from left to right is explained.",
        collapse.draw,
    ),
    Entry(
        "phase_diagram",
        "Phase diagram: who memorizes when",
        "At a few round numbers of steps, which runs memorize, which generalize and which are not trained enough. The "
        "black line is the boundary n* with its 95% interval; an arrow is a bound, where n* lies beyond the runs.",
        phase.draw,
    ),
)


def draw_all(material: Material) -> dict[str, Picture]:
    """Every figure that there is something for, by name, with the table behind it."""
    return {entry.name: picture for entry in ENTRIES if (picture := entry.draw(material))}
