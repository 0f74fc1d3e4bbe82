"""A checkpoint of model space [-1, 1] in diffusers' own pipelines, without a word of ours: the pictures are ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMPipeline, DDPMPipeline, DiffusionPipeline

import diffmem
from diffmem.config.diffusion import DDIMSampler
from diffmem.diffusion.sampler import sample
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import tiny

pytestmark = pytest.mark.slow

STEP = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> diffmem.Run:
    planned = plan(tiny(tmp_path_factory.mktemp("runs"), data={"center": "half"}, train={"ema": 0.5, "steps": STEP}))
    execute(planned)
    return diffmem.load_run(planned.run.path)


@pytest.mark.parametrize("weights", ["raw", "ema"])
@pytest.mark.parametrize(
    ("opened", "calls"),
    [(DDIMPipeline.from_pretrained, 2), (DDPMPipeline.from_pretrained, 20), (DiffusionPipeline.from_pretrained, 10)],
    ids=["ddim", "ddpm", "any"],
)
def test_pipelines_show_our_pictures(run: diffmem.Run, opened: Callable[[Path], Any], calls: int, weights: str) -> None:
    folder = run.path / "checkpoints" / f"step_{STEP:08d}"
    pipeline = opened(folder if weights == "raw" else folder / "ema")
    pipeline.set_progress_bar_config(disable=True)
    shown = pipeline(
        batch_size=3, generator=torch.Generator().manual_seed(7), num_inference_steps=calls, output_type="np"
    ).images
    noise = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(7))
    model = run.model(STEP, weights)
    ours = sample(model, noise, diffusion=run.config.diffusion, sampler=DDIMSampler(calls=calls))
    expected = run.to_images(ours).permute(0, 2, 3, 1)
    torch.testing.assert_close(torch.from_numpy(shown), expected, rtol=0, atol=1e-5)
    assert 0.1 < float(expected.mean()) < 0.9, "pictures, not one flat colour"


def test_a_checkpoint_of_another_model_space_is_no_pipeline(tmp_path: Path) -> None:
    planned = plan(tiny(tmp_path, train={"steps": 1}))
    execute(planned)
    folder = planned.run.checkpoint_path(1)
    assert (folder / "config.json").is_file()
    assert not (folder / "model_index.json").exists()
