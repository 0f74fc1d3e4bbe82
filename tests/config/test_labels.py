"""Labels in the settings: what does not go together is refused, and what stands for auto."""

import pytest

from diffmem.config.compose import compose, override_evaluation
from diffmem.config.settings import Config
from diffmem.errors import InputError

TINY = ["model=unet_tiny", "data.n=8"]
REFUSED = [
    (["data.labels=yes_please"], "data.labels='yes_please' is none of false, true, random and unique"),
    (["data.labels=true", "model=unet_reference"], "data.labels=true needs a network that takes labels"),
    (["data.labels=true", "model.classes=null"], "leave model.classes=null out, or data.labels=false"),
    (["model.classes=10"], "model.classes=10 makes a network that takes labels, and data.labels=false gives it none"),
    (["model.classes=many", "data.labels=true"], "model.classes='many' is neither a number of labels"),
    (["data.labels=unique", "model.classes=7"], "model.classes=7 is fewer than the data.n=8 labels"),
    (["train.label_dropout=0.1"], "train.label_dropout=0.1 is of a network that takes labels"),
    (["sampler.guidance=2"], "sampler.guidance=2 is of a network that takes labels"),
    (["data.labels=true", "sampler.guidance=2"], "sampler.guidance=2 needs a network that was trained without labels"),
    (["data.labels=true", "sampler.guidance=0"], "train with train.label_dropout=0.1, or leave sampler.guidance=1"),
    (["data=image_folder", "data.root=x", "data.labels=true"], "model.classes=auto is not known before the images"),
    (["data=image_folder", "data.root=x", "data.labels=random"], "set model.classes to the number of labels"),
    (["data.center=half", "data.scale=4"], "data.scale=4 does not fit data.center=half"),
    (["data.center=middle"], "data.center=middle is not one of mean, half"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_does_not_go_together_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(InputError) as caught:
        compose([*TINY, *words])
    assert why in str(caught.value)


@pytest.mark.parametrize(("labels", "classes"), [("false", None), ("true", 10), ("random", 10), ("unique", 8)])
def test_auto_is_as_many_as_there_are(labels: str, classes: int | None) -> None:
    config = compose([*TINY, f"data.labels={labels}"])
    assert config.classes == classes
    assert Config.from_stored(config.to_mapping()) == config


def test_the_same_number_is_the_same_run() -> None:
    said = compose([*TINY, "data.labels=true", "model.classes=10"])
    assert said.run_id("abc") == compose([*TINY, "data.labels=true"]).run_id("abc")


def test_every_choice_is_another_run() -> None:
    base = ["data.labels=true", "data.labels=random", "data.labels=unique", "data.center=half", "data.index=0"]
    ids = {compose([*TINY, word]).run_id("abc") for word in base}
    dropout = compose([*TINY, "data.labels=true", "train.label_dropout=0.1"])
    assert len(ids | {dropout.run_id("abc")}) == len(base) + 1


def test_guidance_and_features_are_another_evaluation_of_the_same_run() -> None:
    run = compose([*TINY, "data.labels=true", "train.label_dropout=0.1"])
    for word in ("sampler.guidance=2", "eval.features=pixels"):
        other = override_evaluation(run.to_mapping(), [word])
        assert (other.run_id("abc"), other.eval_id() == run.eval_id()) == (run.run_id("abc"), False)
    assert (
        override_evaluation(run.to_mapping(), ["sampler.guidance=1", "eval.features=null"]).eval_id() == run.eval_id()
    )


def test_a_run_cannot_make_its_user_run_code_for_features() -> None:
    stored = compose([*TINY, "eval.features='module:json:loads'"]).to_mapping()
    with pytest.raises(InputError, match=r"eval.features=module:json:loads runs code that the run's own config names"):
        override_evaluation(stored, ["eval.samples=100"])


def test_two_passes_where_both_are_needed() -> None:
    words = [*TINY, "data.labels=true", "train.label_dropout=0.1", "sampler.calls=7"]
    passes = {g: compose([*words, f"sampler.guidance={g}"]).sampler.passes for g in (0, 1, 3)}
    assert passes == {0: 7, 1: 7, 3: 14}


def test_the_mixture_has_two_components_to_tell() -> None:
    config = compose(["data=mixture", "model=resmlp", "data.labels=true"])
    assert config.classes == 2
    plain = compose(["data=mixture", "model=resmlp"])
    assert (plain.classes, "classes" in plain.to_mapping()["model"]) == (None, False)


MIXTURE = ["data=mixture", "model=resmlp", "eval.kl_samples=64"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["eval.kl_samples=64"], "eval.kl_samples=64 needs data whose density is known, which data=digits is not"),
        ([*MIXTURE, "train.t=100"], "needs a model of all diffusion times, and train.t=100 fixes one"),
        (
            [*MIXTURE, "data.labels=true", "train.label_dropout=0.1", "sampler.guidance=2"],
            "that of sampler.guidance=2 is not known: use 0 or 1, or leave eval.kl_samples=null",
        ),
    ],
)
def test_a_divergence_needs_two_densities(words: list[str], why: str) -> None:
    with pytest.raises(InputError) as caught:
        compose(words)
    assert why in str(caught.value)


def test_a_divergence_is_another_evaluation_of_the_same_run() -> None:
    plain, measured = compose(MIXTURE[:2]), compose(MIXTURE)
    assert plain.run_id("abc") == measured.run_id("abc")
    assert plain.eval_id() != measured.eval_id()
