"""Labels that a network is told: what must fit between data, model, training and sampler.

    data.labels         false; true (the set's own); random (drawn for each image); unique (one an image)
    model.classes       how many labels the network knows; auto: as many as there are
    train.label_dropout share of labels left out in training, which makes the network one without labels too
    sampler.guidance    how much the label counts in sampling

Source: Ho and Salimans 2022, "Classifier-free diffusion guidance" (the last two); Gu et al. 2023, "On memorization in
diffusion models", arXiv 2310.02664 (random and unique labels).
"""

from dataclasses import replace

from diffmem.config.data import RANDOM, UNIQUE, DataConfig
from diffmem.config.model import AUTO, LabelledConfig, Model
from diffmem.errors import InputError


def counted(model: Model, data: DataConfig) -> Model:
    """`model` with the number that model.classes=auto stands for. Raises InputError where that is not known."""
    if not isinstance(model, LabelledConfig) or model.classes != AUTO:
        return model
    if data.labels is False:
        return replace(model, classes=None)
    known = data.n if data.labels == UNIQUE else data.label_count
    if known is None:
        raise InputError(
            f"model.classes={AUTO} is not known before the images are read with data={data.name} data.labels="
            f"{_word(data.labels)}: set model.classes to the number of labels."
        )
    return replace(model, classes=known)


def check(data: DataConfig, model: Model, dropout: float, guidance: float) -> None:
    """Raise InputError where these settings do not go together."""
    if data.labels is False:
        _check_unused(model, dropout, guidance)
        return
    if not isinstance(model, LabelledConfig) or model.classes is None:
        fix = "leave model.classes=null out" if isinstance(model, LabelledConfig) else "use model=unet or unet_tiny"
        raise InputError(
            f"data.labels={_word(data.labels)} needs a network that takes labels, and model={model.name} takes none: "
            f"{fix}, or data.labels=false."
        )
    if data.labels == UNIQUE and isinstance(model.classes, int) and model.classes < data.n:
        raise InputError(
            f"model.classes={model.classes} is fewer than the data.n={data.n} labels of data.labels={UNIQUE}: use "
            f"model.classes={data.n}, or {AUTO}."
        )
    if guidance != 1 and dropout == 0:
        raise InputError(
            f"sampler.guidance={guidance:g} needs a network that was trained without labels too: train with "
            "train.label_dropout=0.1, or leave sampler.guidance=1."
        )


def _check_unused(model: Model, dropout: float, guidance: float) -> None:
    """Raise InputError for an option of labels where there are none."""
    if isinstance(model, LabelledConfig) and isinstance(model.classes, int):
        raise InputError(
            f"model.classes={model.classes} makes a network that takes labels, and data.labels=false gives it none: "
            f"set data.labels=true, {RANDOM} or {UNIQUE}, or leave model.classes out."
        )
    for option, value, default in (("train.label_dropout", dropout, 0), ("sampler.guidance", guidance, 1)):
        if value != default:
            raise InputError(
                f"{option}={value:g} is of a network that takes labels, and data.labels=false gives it none: set "
                f"data.labels=true, {RANDOM} or {UNIQUE}, or leave {option}={default}."
            )


def _word(labels: bool | str) -> str:
    """data.labels as a user types it."""
    return str(labels).lower()
