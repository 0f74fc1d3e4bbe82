"""How many samples and draws a row rests on: blocks of samples up to a width, a fixed number of them for quality."""

from typing import Any

import pytest
import torch

from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.errors import InputError
from diffmem.training.evaluate import Evaluator, Measured
from diffmem.training.initial import initial_state
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")
QUALITY = (
    "mmd_pixels",
    "mmd_pixels@gaussian",
    "mmd_pixels@sampler",
    "fd_pixels",
    "fd_pixels_bias",
    "outside",
    "recall",
)


def measured(**eval: Any) -> Measured:
    """The untrained tiny network's row under these evaluation settings."""
    config = tiny(eval={"samples": 1200, "test_images": 16, "bootstrap": 0, **eval})
    dataset = load(config.data)
    evaluator = Evaluator(config, dataset, split(dataset, config.data), CPU)
    return evaluator(initial_state(config, CPU).model, 0)


@pytest.mark.parametrize(("width", "drawn"), [(0.02, 128), (0.005, 628), (0.002, 1128), (0.0001, 1200)])
def test_samples_are_drawn_until_the_interval_is_narrow(width: float, drawn: int) -> None:
    """They are the first of those that are drawn without it; quality is that of the first 128 all the same."""
    found = measured(quality_samples=128, f_mem_width=width)
    assert found.row["f_mem_total"] == len(found.arrays["d1"]) == drawn
    if drawn < 1200:
        assert (found.row["f_mem_high"] - found.row["f_mem_low"]) / 2 <= width
    every = measured(quality_samples=128)
    assert every.row["f_mem_total"] == 1200
    for name in ("d1", "i1", "own"):
        assert torch.allclose(torch.from_numpy(found.arrays[name]), torch.from_numpy(every.arrays[name][:drawn]))
    alone = measured(samples=128)
    assert {name: found.row[name] for name in QUALITY} == {name: every.row[name] for name in QUALITY}
    assert [found.row[name] for name in QUALITY] == pytest.approx([alone.row[name] for name in QUALITY], rel=1e-5)


def test_quality_is_of_a_block_where_samples_may_be_few() -> None:
    assert tiny(eval={"samples": 2000}).eval.quality_count == 2000
    assert tiny(eval={"samples": 2000, "f_mem_width": 0.01}).eval.quality_count == 500
    assert tiny(eval={"samples": 200, "f_mem_width": 0.01}).eval.quality_count == 200
    with pytest.raises(InputError, match=r"eval.quality_samples=300 is more than eval.samples=200"):
        tiny(eval={"samples": 200, "quality_samples": 300})


def test_the_loss_draws_that_are_asked_for_decide_the_standard_error() -> None:
    few, many = (measured(samples=128, loss_draws=count).row for count in (64, 1024))
    for kind in ("train", "test"):
        assert few[f"loss_{kind}_t2_se"] / many[f"loss_{kind}_t2_se"] == pytest.approx(4, rel=0.5)
        apart = few[f"loss_{kind}_t2"] - many[f"loss_{kind}_t2"]
        assert abs(apart) < 4 * few[f"loss_{kind}_t2_se"]


def test_the_lipschitz_constant_is_measured_where_it_is_asked_for_and_changes_no_other_column() -> None:
    plain, asked = (measured(samples=128, t=[2, 5], lipschitz=count).row for count in (0, 3))
    added = {f"lipschitz{mean}_t{t}" for mean in ("", "_mean") for t in (2, 5)}
    assert asked.keys() - plain.keys() == added
    assert {name: asked[name] for name in plain} == plain
    assert all(0 < asked[f"lipschitz_mean_t{t}"] < asked[f"lipschitz_t{t}"] for t in (2, 5))


YOUNG = {"f_mem_width": 0.01, "quality_samples": 64, "loss_draws": 256, "lipschitz": 4}


@pytest.mark.parametrize("name", YOUNG)
def test_what_decides_a_row_is_hashed_only_where_it_is_given(name: str) -> None:
    plain = tiny(eval={"loss_draws": 1024})
    changed = tiny(eval={"loss_draws": 1024, name: YOUNG[name]})
    assert changed.eval_id() != plain.eval_id()
    assert name not in plain.to_mapping()["eval"]
    assert changed.to_mapping()["eval"][name] == YOUNG[name]
    assert Config.from_stored(changed.to_mapping()) == changed
    assert changed.trajectory() == plain.trajectory()


def test_who_makes_the_rows_decides_no_row() -> None:
    assert tiny(eval={"background": "auto"}).eval_id() == tiny().eval_id()
