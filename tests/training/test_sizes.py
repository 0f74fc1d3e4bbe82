"""Bytes from shapes against the files that are written."""

from pathlib import Path

import pytest
import torch
from torch import nn

from diffmem.config.compose import compose
from diffmem.config.model import MODELS
from diffmem.data.dataset import Split
from diffmem.store import RunDir
from diffmem.training import snapshot
from diffmem.training.initial import initial_state
from diffmem.training.sizes import sizes

DATA = {"unet": "digits", "unet_reference": "fashion_mnist", "resmlp": "mixture"}
SMALL = ["model.width=8", "model.multipliers=[1,2]", "model.attention=[2]"]
WIDTHS = {"unet": SMALL, "unet_reference": SMALL}
CHOICES = [
    ["optimizer=adam"],
    ["optimizer=adamw", "train.ema=0.9"],
    ["optimizer=sgd"],
    ["optimizer=sgd", "optimizer.momentum=0", "train.ema=0.9"],
    ["optimizer=adam", "train.ema=0.9", "model.spectral_norm=1"],
]


@pytest.mark.parametrize("chosen", CHOICES, ids=" ".join)
@pytest.mark.parametrize("model", MODELS)
def test_resume_points_and_checkpoints_have_the_bytes_that_are_written(
    model: str, chosen: list[str], tmp_path: Path
) -> None:
    words = [f"model={model}", f"data={DATA[model]}", *WIDTHS.get(model, ["model.width=32"])]
    config = compose([*words, *chosen])
    state = initial_state(config, torch.device("cpu"))
    x = torch.randn(2, *config.data.shape)
    nn.functional.mse_loss(state.model(x, torch.ones(2, dtype=torch.int64)), x).backward()
    state.optimizer.step()
    found = sizes(config)
    assert found.resume == len(snapshot.to_bytes(state))

    run = RunDir(tmp_path)
    mean = torch.full((config.data.shape[0], 1, 1), 0.1234567)
    snapshot.write_checkpoint(state, config, Split(train=x, test=x, mean=mean, scale=2.0), run)
    files = [path for path in run.checkpoint_path(0).rglob("*") if path.is_file()]
    weights = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    text = sum(path.stat().st_size for path in files if path.suffix != ".safetensors")
    copies = 1 if config.train.ema is None else 2
    assert found.checkpoint - weights == pytest.approx(text, abs=700 * copies)
