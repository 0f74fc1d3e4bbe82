"""The figures of a family: name, title, caption and what draws each. A figure is its file and a row of `ENTRIES`."""

from collections.abc import Callable
from typing import NamedTuple

from . import (
    bias,
    classes,
    collapse,
    divergence,
    loss_map,
    losses,
    memorization,
    phase,
    samples,
    scores,
    times_vs_n,
    width_scaling,
    window,
)
from .files import FORMS, Picture
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
        "When to stop: the times against n",
        "Between quality (blue) and bias (purple) samples are good and do not yet lean towards the training images: "
        "stop there. Copies (vermilion) come later. Filled marks are times with their 95% interval; an open mark with "
        "an arrow is a bound, because the run had not reached that time by its last step (up) or was past it at its "
        "first (down). Lines are the fitted power laws, with the 95% band of the line where the paler shade is. Runs "
        "of so few images that copies of them would not reach the level of quality have no blue mark.",
        times_vs_n.draw,
    ),
    Entry(
        "window_in_pictures",
        "The window in pictures",
        "The same noise through the training of one run, and below each sample its nearest training image, with d1/d2 "
        "between. Shown are the samples that end nearest to a training image: at first like none (and not all of them "
        "good yet: the level is one of all samples together), then leaning towards one, then a copy of it (red).",
        window.draw,
    ),
    Entry(
        "bias_and_memorization",
        "Bias before copies",
        "On the left the share of samples that lie closer to the training images than to as many held-out ones; on the "
        "right the share that are copies. Dotted: the same share of held-out images, as for a model that knows nothing "
        "of which images it was given; of a network that was trained before, what it did before it saw these images. "
        "Bands are 95% intervals.",
        bias.draw,
    ),
    Entry(
        "memorization_and_quality",
        "Memorization and quality during training",
        "The same curves twice: against training time, and against training time per training image. Curves that lie "
        "on each other on the left do not depend on n; curves that lie on each other on the right move in proportion "
        "to n. Bands are 95% intervals; bars above the curves of quality are those of the marked times, a run each, by "
        "n. Dashed lines say what the measure of quality gives where the answer is known: "
        "what is worse than the best trivial generator is no quality.",
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
        "classes",
        "One class at a time",
        "Of a network that was told labels: copies, lean and quality of the samples that were given each label, and of "
        "all samples (black). A class has few samples, so its curve is rougher than that of all, and its quality is "
        "measured against the held-out images of that class: compare it with its own past, not with that of all.",
        classes.draw,
    ),
    Entry(
        "losses",
        "Losses at fixed diffusion times",
        "Where the two losses part, the network begins to learn its own training images by heart.",
        losses.draw,
    ),
    Entry(
        "loss_map",
        "The gap of losses, by diffusion time",
        "How far the loss on test images is above that on training images, at every diffusion time t that was measured "
        "(small t: little noise), in units of what was learned at that t. The line is where the gap comes to a tenth: "
        "where it lies furthest to the left, the network begins first to learn its training images by heart.",
        loss_map.draw,
    ),
    Entry(
        "scores",
        "The score between population and training set",
        "How far the network's score is from the population's, in units of the distance between that and the training "
        "set's (above), and which of the two it is nearer to (below: 1 at the population's, -1 at the training set's). "
        "Marks: where the first comes to 1/2, and where a monotone fit of the second turns negative.",
        scores.draw,
    ),
    Entry(
        "divergence",
        "From the true density to the model's",
        "KL(true density || model's), by the probability flow, of models of the Gaussian mixture. It falls while the "
        "population is learned and rises as the density gathers at single training points. Bands are 95% intervals "
        "over the points, widened by the error of the solver.",
        divergence.draw,
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


def file_names() -> list[str]:
    """Every file of a figure, below the folder that `save` is given as its root."""
    return [f"figures/{entry.name}.{form}" for entry in ENTRIES for form in FORMS]


def draw_all(material: Material) -> dict[str, Picture]:
    """Every figure that there is something for, by name, with the table behind it."""
    return {entry.name: picture for entry in ENTRIES if (picture := entry.draw(material))}
