"""What an evaluation asks for, and whether it can be had: known before anything is trained or measured.

Letters: D features.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmem.config.settings import Config
from diffmem.definitions import null_rate
from diffmem.errors import InputError
from diffmem.metrics import calibration
from diffmem.metrics.features import extractors
from diffmem.metrics.standard import MEASURES, Wanted, wanted

LEAST = 4  # samples and test images that the kernel distance, precision and recall need


def asked(config: Config, fit_count: int, held_out: int) -> list[Wanted]:
    """The measures of quality that `config` asks for; without that of the word auto where there are too few images.

    `fit_count` images are there to fit a basis on, `held_out` to compare with.
    """
    found = wanted(config.eval.quality, config.data.d)
    return [one for one in found if one.word != "auto" or _enough(config, one, fit_count, held_out)]


def check(config: Config, fit_count: int, held_out: int) -> list[str]:
    """What a user should know of the evaluation that `config` asks for, of a set of `fit_count` images outside the test
    split and `held_out` in it.

    Raises InputError where it cannot be made.
    """
    notes = []
    if config.eval.test_images > held_out:
        notes.append(
            f"losses are measured on all {held_out} held-out images, fewer than eval.test_images="
            f"{config.eval.test_images}"
        )
    points = config.eval.kl_samples
    if points is not None and points > held_out:
        raise InputError(f"eval.kl_samples={points} is more than the {held_out} held-out points: use at most as many.")
    if not config.can_sample:
        return notes
    count = config.eval.quality_count
    if min(count, held_out) < LEAST:
        raise InputError(
            f"{_option(config)}={count} with {held_out} held-out images is too few to measure quality: "
            f"both must be at least {LEAST}."
        )
    rate = null_rate(config.eval.k)
    if rate is not None:
        calibration.check_count(held_out, rate)
    _check_features(config, fit_count)
    measured = asked(config, fit_count, held_out)
    for one in wanted(config.eval.quality, config.data.d):
        if one in measured:
            _check_counts(config, one, held_out)
        else:
            dim = _dimension(config, one)
            notes.append(
                f"no Frechet distance: its {dim} dimensions need {2 * dim} samples and as many held-out images, and "
                f"there are {count} and {held_out}. The kernel distance, which times are read off, needs "
                "no more"
            )
    return notes


def check_networks(config: Config, recorded: Mapping[str, Any], run: Path) -> None:
    """Raise InputError where a network of `config` is not the one `recorded` under its name in the meta.json of `run`.

    One name in the tables of a run is one network.
    """
    if not config.can_sample:
        return
    named = [("quality", one.word, one.space) for one in wanted(config.eval.quality, config.data.d)]
    if config.eval.features is not None:
        named.append(("features", config.eval.features, config.eval.features))
    for option, word, space in named:
        name = extractors.called(space)
        if name in recorded and extractors.about(space) != recorded[name]:
            raise InputError(
                f"eval.{option}={word}: {name} is not the network that measured {run} (its weights or what is done "
                "to an image before them differ): put that one back, or give this one another name."
            )


def _check_features(config: Config, fit_count: int) -> None:
    """Raise InputError where the space of `eval.features` cannot be had for these images."""
    space = config.eval.features
    if space is None:
        return
    try:
        dim = extractors.dimension(space, config.data.shape)
        if space in extractors.FITTED and dim != config.data.d and fit_count <= dim:
            raise InputError(
                f"its {dim} components need more than the {fit_count} images there are outside the test split"
            )
    except InputError as error:
        raise InputError(f"eval.features={space}: {error}") from error


def _enough(config: Config, one: Wanted, fit_count: int, held_out: int) -> bool:
    dim = _dimension(config, one)
    return min(config.eval.quality_count, held_out) >= 2 * dim and (dim == config.data.d or fit_count > dim)


def _check_counts(config: Config, one: Wanted, held_out: int) -> None:
    dim = _dimension(config, one)
    least = MEASURES[one.measure].least(dim)
    for option, count in ((_option(config), config.eval.quality_count), ("the test split", held_out)):
        if count < least:
            raise InputError(
                f"{option} gives {count} images, and {one.column} ({MEASURES[one.measure].words}) of {dim} dimensions "
                f"needs at least {least}{' (twice as many)' if least == 2 * dim else ''}: give more, or choose another "
                "eval.quality."
            )


def _option(config: Config) -> str:
    """What says how many samples quality is measured on."""
    return "eval.samples" if config.eval.quality_count == config.eval.samples else "eval.quality_samples"


def _dimension(config: Config, one: Wanted) -> int:
    try:
        return extractors.dimension(one.space, config.data.shape)
    except InputError as error:
        raise InputError(f"eval.quality={one.word}: {error}") from error
