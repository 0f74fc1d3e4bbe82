"""What a training step tells the network: the labels of its images, some of them left out, by the step alone."""

import copy

import pytest
import torch

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.data.labels import Labels, labels_of
from diffmem.diffusion.process import Process
from diffmem.models.unet import UNet
from diffmem.training.initial import initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.step import prepare
from diffmem.training.told import told
from diffmem.training.train import train
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")


def config(dropout: float) -> Config:
    return tiny(data={"labels": "random"}, model={"classes": 10}, train={"label_dropout": dropout})


def labels(settings: Config) -> Labels:
    found = labels_of(load(settings.data), settings.data, settings.classes)
    assert found is not None
    return found


def test_every_label_is_told_without_dropout() -> None:
    places = torch.tensor([3, 0, 3, 7])
    known = labels(config(0.0))
    assert torch.equal(told(known, places, config(0.0), 5), known.train[places])


def test_a_share_is_left_out_and_the_step_decides_which() -> None:
    settings, known = config(0.3), labels(config(0.3))
    places = torch.arange(8)
    drawn = torch.stack([told(known, places, settings, step) for step in range(500)])
    left_out = drawn == known.classes
    assert torch.equal(drawn[~left_out], known.train.expand(500, 8)[~left_out])
    assert abs(float(left_out.double().mean()) - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
    assert torch.equal(told(known, places, settings, 7), drawn[7])


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_steps_are_those_of_a_plain_loop(dropout: float) -> None:
    """Adam on the epsilon loss with diffusers' own label embedding, written out with the keyed draws."""
    settings = config(dropout)
    data, known = split(load(settings.data), settings.data).train, labels(settings)
    process = Process.from_config(settings.diffusion)
    model = copy.deepcopy(initial_state(settings, CPU).model).train()
    assert isinstance(model, UNet)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.optimizer.lr)
    for step in range(4):
        places = rng.batches(settings.seed, step, 1, len(data), 4)[0]
        eps = torch.empty_like(data[places]).normal_(generator=rng.generator(settings.seed, "noise", step))
        t = torch.randint(1, 20, (4,), generator=rng.generator(settings.seed, "t", step))
        given = known.train[places].clone()
        if dropout:
            given[torch.rand(4, generator=rng.generator(settings.seed, "label dropout", step)) < dropout] = 10
        out = model.net(process.noise(data[places], eps, t), t, class_labels=given).sample
        optimizer.zero_grad()
        ((out - eps) ** 2).mean().backward()
        optimizer.step()
    state = initial_state(settings, CPU)
    for moment in train(state, prepare(state, data, process, settings, Kernels(), known)):
        if moment.step == 4:
            break
    for ours, plain in zip(state.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)


def test_a_network_without_a_label_is_told_the_last_embedding() -> None:
    model = initial_state(config(0.0), CPU).model.eval()
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([1, 5, 9])
    with torch.no_grad():
        alone = model(x, t)
        assert torch.equal(alone, model(x, t, torch.full((3,), 10)))
        assert not torch.equal(alone, model(x, t, torch.full((3,), 4)))
