"""Losses at fixed diffusion times: their value, their common noise, and that measuring changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from diffmem.config.diffusion import LinearDiffusion
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.metrics.losses import DRAWS, epsilon_losses, noise_pairs

PROCESS = Process.from_config(LinearDiffusion(T=100, beta_first=1e-4, beta_last=2e-2))


def pairs(images: Tensor, t: int = 5, tile: int = 512) -> tuple[Tensor, Tensor]:
    x0, eps = zip(*noise_pairs(PROCESS, images, t, tile), strict=True)
    return torch.cat(x0), torch.cat(eps)


@pytest.mark.parametrize("count", [3, 300, 1024, 1500])
def test_loss_of_a_model_that_answers_zero(count: int) -> None:
    """It is the mean square of the noise: 1, within 4 standard errors sqrt(2 / draws)."""
    images = torch.rand(count, 1, 4, 4)
    losses = epsilon_losses(lambda x, t: torch.zeros_like(x), PROCESS, images, t=(0, 50, 99), tile=100)
    assert list(losses) == [0, 50, 99]
    for t, loss in losses.items():
        x0, eps = pairs(images, t)
        assert len(x0) >= DRAWS
        each = eps.double().square().flatten(1).mean(1)
        assert loss.value == pytest.approx(float(each.mean()), rel=1e-6)
        assert loss.se == pytest.approx(float(each.std()) / len(each) ** 0.5, rel=1e-6)
        assert abs(loss.value - 1) < 4 * loss.se
        assert loss.se == pytest.approx((2 / eps.numel()) ** 0.5, rel=0.2)  # eps^2 has variance 2


@pytest.mark.parametrize("tile", [1024, 7])
def test_loss_of_a_model_that_is_exact(tile: int) -> None:
    """With images of zero, eps = x_t / sqrt(1 - alpha_bar): the loss is zero. Twice that answer has loss 1."""

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return x / (1 - PROCESS.alpha_bar[t]).sqrt()[:, None]

    zeros = torch.zeros(10, 4)
    assert epsilon_losses(exact, PROCESS, zeros, t=(30,), tile=tile)[30].value < 1e-12
    doubled = epsilon_losses(lambda x, t: 2 * exact(x, t), PROCESS, zeros, t=(30,), tile=tile)[30].value
    assert doubled == pytest.approx(float(pairs(zeros, 30)[1].square().mean()), rel=1e-5)


def test_noise_depends_on_position_time_and_repeat_alone() -> None:
    few, many = torch.rand(600, 2, 3), torch.rand(1000, 2, 3)
    (x_few, eps_few), (x_many, eps_many) = pairs(few), pairs(many, tile=33)
    assert torch.equal(eps_few[:600], eps_many[:600])  # first repeat
    assert torch.equal(eps_few[600:], eps_many[1000:1600])  # second repeat
    assert torch.equal(x_few, torch.cat([few, few]))
    assert torch.equal(x_many, torch.cat([many, many]))
    assert not torch.equal(eps_few[:600], eps_few[600:])
    assert not torch.equal(eps_few, pairs(few, t=6)[1])


@pytest.mark.parametrize(("draws", "used"), [(1, 100), (100, 100), (101, 200), (1600, 1600)])
def test_draws_decide_how_often_each_image_is_used(draws: int, used: int) -> None:
    """The first ones are the same, and four times as many have half the standard error."""
    images = torch.rand(100, 1, 4, 4)
    few = torch.cat([eps for _, eps in noise_pairs(PROCESS, images, 5, 64, draws)])
    assert len(few) == used
    assert torch.equal(few[:100], pairs(images)[1][:100])
    errors = [
        epsilon_losses(lambda x, t: torch.zeros_like(x), PROCESS, images, t=(5,), draws=count)[5].se
        for count in (used, 4 * used)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.25)


def test_measuring_leaves_no_trace() -> None:
    """Modes of every part, gradients and the global generator are as before; dropout is off while measuring."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4))
    network[2].eval()

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            assert not torch.is_grad_enabled()
            assert not any(module.training for module in self.modules())
            return self.network(x)

    model = Model()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    first = epsilon_losses(model, PROCESS, torch.rand(8, 4, generator=torch.Generator().manual_seed(1)), t=(3,))
    again = epsilon_losses(model, PROCESS, torch.rand(8, 4, generator=torch.Generator().manual_seed(1)), t=(3,))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled()


def test_bad_requests_are_refused() -> None:
    for images, t, words in ((torch.zeros(0, 4), 3, "no images"), (torch.zeros(2, 4), 100, "t=100: times are 0 to 99")):
        with pytest.raises(InputError, match=words):
            epsilon_losses(lambda x, t: x, PROCESS, images, t=(t,))
