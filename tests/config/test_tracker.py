"""A tracker is no setting of a run: it changes no identity and no stored byte; bad options are refused in words."""

import pytest

from diffmem.config.compose import compose, compose_grid, compose_tracker, describe, groups
from diffmem.config.options import variants
from diffmem.config.tracker import MLflowTracker, NoTracker, Tracker
from diffmem.errors import InputError

BAD = [
    ("tracker=tensorbord", "tracker is one of mlflow, none, tensorboard, trackio, wandb"),
    ("tracker=tensorboard,wandb", "the runs of a grid share one tracker"),
    ("tracker.project=x", "tracker.project does not apply to tracker=none"),
    ("tracker=wandb tracker.mode=of", "tracker.mode=of is not one of online, offline"),
    ("tracker=mlflow tracker.uri=http://me:secret@host:5000", "MLFLOW_TRACKING_PASSWORD"),
    ("tracker=trackio tracker.project=null", "tracker.project=null is not a word"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_bad_options_are_refused(words: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        compose_tracker(words.split())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", groups()["tracker"])
def test_a_run_does_not_know_of_its_tracker(name: str) -> None:
    assert compose([f"tracker={name}"]) == compose([])
    assert compose_tracker([f"tracker={name}"]).name == name
    assert f"tracker:\n  name: {name}" in describe([f"tracker={name}"])


def test_every_tracker_has_its_file_of_options() -> None:
    assert groups()["tracker"] == sorted(variants(Tracker))
    assert compose_tracker([]) == NoTracker()


def test_a_grid_has_one_tracker() -> None:
    words = ["tracker=mlflow", "tracker.uri=http://127.0.0.1:5000", "data.n=16,32"]
    assert compose_tracker(words) == MLflowTracker(uri="http://127.0.0.1:5000", experiment="diffmem")
    assert [config.data.n for config in compose_grid(words)] == [16, 32]
