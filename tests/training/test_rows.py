"""Rows of raw and of averaged weights: one training, either as its own rows, the other beside them."""

from pathlib import Path

import pytest

from diffmem.config.compose import override_evaluation
from diffmem.training.plan import plan, plan_evaluation
from diffmem.training.session import execute, fill
from tests.helpers.tiny import CHECKPOINTS, tiny

pytestmark = pytest.mark.slow

POWER = {"ema": "power", "ema_sigma": 0.1}


@pytest.mark.parametrize(("own", "other"), [("ema", "raw"), ("raw", "ema")])
def test_rows_of_the_other_weights_come_from_the_checkpoints(own: str, other: str, tmp_path: Path) -> None:
    """They are byte for byte those of a run that measured them while it trained."""
    plans = {
        weights: plan(tiny(tmp_path / weights, train=POWER, eval={"weights": weights})) for weights in (own, other)
    }
    assert all(execute(planned).status == "complete" for planned in plans.values())
    run, alone = plans[own].run, plans[other].run.primary
    before = run.primary.metrics_path.read_bytes()
    path, made = fill(plan_evaluation(run, override_evaluation(run.read_config(), [f"eval.weights={other}"])))
    assert made == len(CHECKPOINTS)
    assert path.parent.parent == run.path / "evals"
    assert path.read_bytes() == alone.metrics_path.read_bytes()
    assert run.primary.metrics_path.read_bytes() == before != alone.metrics_path.read_bytes()
    for samples in map(alone.samples_path, CHECKPOINTS):
        assert (path.parent / "samples" / samples.name).read_bytes() == samples.read_bytes()
