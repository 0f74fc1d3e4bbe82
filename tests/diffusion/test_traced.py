"""The traced network answers with the network's own bits, whatever its weights, or is not used."""

import pytest
import torch
from torch import Tensor, nn

from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.diffusion.traced import Traced
from diffmem.training import evaluate
from diffmem.training.initial import initial_state
from tests.helpers.tiny import OVERRIDES, tiny

CPU = torch.device("cpu")
MODELS = {
    "unet": [],
    "unet_reference": ["model=unet_reference", "model.attention=[]", "model.heads=2"],
    "resmlp": ["data=mixture", "model=resmlp", "model.width=16"],
}


def config(name: str) -> Config:
    kept = [word for word in OVERRIDES if name != "resmlp" or not word.startswith(("data", "model"))]
    flat = ["data.n=8"] if name == "resmlp" else []
    return compose([*kept, *MODELS[name][:1], *flat, *MODELS[name][1:]])


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_those_of_the_network_at_every_checkpoint(name: str) -> None:
    settings = config(name)
    traced, noise = Traced(), initial_noise(40, settings.data.shape)
    for seed in (0, 1):
        model = initial_state(settings, CPU).model.eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))
        options = {"diffusion": settings.diffusion, "sampler": settings.sampler, "tile": 16}
        fast = sample(traced.of(model, noise[:16]), noise, **options)  # type: ignore[arg-type]
        assert torch.equal(fast, sample(model, noise, **options))  # type: ignore[arg-type]


class Odd(nn.Module):
    """Its answer depends on what a trace takes for constant, or it can be traced by no means."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.fails, self.weight = fails, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        if self.fails and torch.jit.is_tracing():
            raise RuntimeError("no trace of this")
        return self.weight * x * (1 if float(t[0]) == 0 else 2)


@pytest.mark.parametrize("fails", [True, False])
def test_a_network_that_cannot_be_traced_is_called_itself(fails: bool) -> None:
    model, x, t = Odd(fails=fails).eval(), torch.ones(3, 2), torch.full((3,), 5)
    assert torch.equal(Traced().of(model, x)(x, t), model(x, t))


def test_a_row_is_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small evaluations do without, so the rows of all sizes are of one kind."""
    settings = tiny(eval={"test_images": 16, "bootstrap": 0})
    images = load(settings.data)
    evaluator = evaluate.Evaluator(settings, images, split(images, settings.data), CPU)
    model = initial_state(settings, CPU).model
    rows = [evaluator(model, 0).row]
    monkeypatch.setattr(evaluate.traced, "WORTH", 0)
    assert evaluator(model, 0).row == rows[0]
    assert evaluator.traced._same
