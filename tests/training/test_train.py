"""The loop: the same state whoever looks, and the steps that a plain loop written here would take."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.diffusion.process import Process
from diffmem.metrics.losses import epsilon_losses
from diffmem.training import average, snapshot
from diffmem.training.initial import Diverged, State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.step import prepare
from diffmem.training.train import train
from tests.helpers.plain_loop import plain_steps
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")

SETTINGS = {
    "adam": tiny(),
    "sgd": tiny(optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.9}),
    "adamw": tiny(optimizer={"name": "adamw", "weight_decay": 0.1}),
    "dropout": tiny(model={"dropout": 0.3}),
    "ema": tiny(train={"ema": 0.8}),
    "power": tiny(train={"ema": "power", "ema_sigma": 0.1}),
    "power, half precision": tiny(
        train={"ema": "power", "ema_sigma": 0.25, "precision": "bf16", "channels_last": True}
    ),
    "full batch": tiny(train={"batch": "full"}),
    "uneven batch": tiny(train={"batch": 3}),
    "fixed t": tiny(train={"t": 7}),
    "clipped": tiny(optimizer={"clip": 0.1}),
    "bf16": tiny(train={"precision": "bf16"}),
    "channels last": tiny(train={"channels_last": True}),
    "mlp": tiny(
        data={"name": "mixture", "n": 8, "dim": 4, "mu": 1.0, "sigma": 1.0, "size": None, "channels": None},
        model={"name": "resmlp", "width": 8, "multipliers": None, "mid_attention": None, "groups": None},
    ),
    "reference": tiny(model={"name": "unet_reference", "width": 4}),
}


@pytest.fixture(params=SETTINGS)
def config(request: pytest.FixtureRequest) -> Config:
    return SETTINGS[request.param]


def images(config: Config) -> Tensor:
    return split(load(config.data), config.data).train


def run(config: Config, until: int, state: State | None = None, look: Callable[[State], None] | None = None) -> State:
    state = state or initial_state(config, CPU)
    step = prepare(state, images(config), Process.from_config(config.diffusion), config, Kernels())
    for moment in train(state, step):
        if look:
            look(moment)
        if moment.step == until:
            break
    return state


def tensors(state: State) -> bytes:
    return snapshot.to_bytes(state)


@pytest.mark.slow
def test_looking_changes_nothing(config: Config) -> None:
    def look(state: State) -> None:
        state.check()
        tensors(state)
        epsilon_losses(state.model, Process.from_config(config.diffusion), images(config), t=(3,))
        torch.rand(1)

    assert tensors(run(config, 7)) == tensors(run(config, 7, look=look))


def test_every_step_is_seen_once_and_in_order() -> None:
    seen: list[int] = []
    run(SETTINGS["adam"], 5, look=lambda state: seen.append(state.step))
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_state_read_back_goes_on_bit_for_bit(config: Config) -> None:
    whole = run(config, 9)
    part = run(config, 4)
    again = snapshot.from_bytes(part.step, tensors(part), config, CPU)
    assert tensors(again) == tensors(part)
    assert tensors(run(config, 9, again)) == tensors(whole)


@pytest.mark.slow
def test_the_seed_decides_the_run(config: Config) -> None:
    assert tensors(run(config, 2)) == tensors(run(config, 2))
    other = Config.from_mapping({**config.to_mapping(), "seed": 1})
    assert tensors(run(other, 2)) != tensors(run(config, 2))


def test_global_random_state_is_neither_used_nor_touched(config: Config) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = tensors(run(config, 3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert tensors(run(config, 3)) == first


ATTENTION = {"multipliers": [1, 2], "attention": [2], "mid_attention": True, "heads": 2, "dropout": 0.3}
WITH_ATTENTION = {
    "mirrored": tiny(data={"augment": "flip"}),
    "attention": tiny(model=ATTENTION, train={"ema": "power", "ema_sigma": 0.1}),
    "attention, half precision": tiny(model=ATTENTION, train={"precision": "bf16", "channels_last": True}),
    "attention, reference": tiny(model={**ATTENTION, "name": "unet_reference"}, train={"precision": "bf16"}),
}


@pytest.mark.parametrize("config", [*SETTINGS.values(), *WITH_ATTENTION.values()], ids=[*SETTINGS, *WITH_ATTENTION])
def test_bytes_are_those_of_the_first_version(config: Config) -> None:
    plain = initial_state(config, CPU)
    plain_steps(plain, images(config), Process.from_config(config.diffusion), config, 5)
    assert tensors(run(config, 5)) == tensors(plain)


def test_steps_are_those_of_a_plain_loop() -> None:
    """Adam on the epsilon loss, written out with torch's own optimizer and the keyed draws."""
    config = SETTINGS["adam"]
    data = images(config)
    model = copy.deepcopy(initial_state(config, CPU).model).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optimizer.lr)
    for step in range(5):
        x0 = data[rng.batches(config.seed, step, 1, len(data), 4)[0]]
        eps = torch.empty_like(x0).normal_(generator=rng.generator(config.seed, "noise", step))
        t = torch.randint(1, 20, (4,), generator=rng.generator(config.seed, "t", step))
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 20, dtype=torch.float64), 0)[t].float()[
            :, None, None, None
        ]
        loss = ((model(alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps, t) - eps) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for ours, plain in zip(run(config, 5).model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)


def test_t_is_uniform_without_zero() -> None:
    seen: list[int] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            seen.extend(t.tolist())
            return self.weight * x

    config = SETTINGS["adam"]
    model = Watching()
    state = State(0, model, torch.optim.SGD(model.parameters(), lr=0.0), {})
    run(config, 500, state)
    counts = torch.bincount(torch.tensor(seen), minlength=20)
    assert counts[0] == 0
    expected = len(seen) / 19
    assert len(seen) == 2000
    assert ((counts[1:] - expected).abs() < 4 * expected**0.5).all()


@pytest.mark.parametrize("name", ["ema", "power", "power, half precision"])
def test_averaged_weights_are_the_recursion(name: str) -> None:
    """In float64 here and in float32 there, whatever the precision of the training."""
    config = SETTINGS[name]
    expected: dict[str, Tensor] = {}

    def look(moment: State) -> None:
        for name, parameter in moment.model.named_parameters():
            weight = parameter.detach().double()
            if moment.step:
                (beta,) = average.decays(config.train, moment.step)
                weight = beta * expected[name] + (1 - beta) * weight
            expected[name] = weight

    state = run(config, 6, look=look)
    assert average.decays(SETTINGS["ema"].train, 3) == (0.8,)
    for name, averaged in state.averages["ema"].items():
        assert averaged.dtype == torch.float32
        torch.testing.assert_close(averaged.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert any(
        not torch.equal(averaged, dict(state.model.named_parameters())[name])
        for name, averaged in state.averages["ema"].items()
    )


def test_clipping_bounds_the_first_sgd_step() -> None:
    config = tiny(optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0, "clip": 1e-3})
    before = torch.cat([weight.detach().flatten() for weight in initial_state(config, CPU).model.parameters()])
    after = torch.cat([weight.detach().flatten() for weight in run(config, 1).model.parameters()])
    assert abs(float((after - before).norm()) - 1e-3) < 1e-5


def test_a_divergence_is_reported_at_its_step() -> None:
    """A weight that doubles past the largest float: the step is the first whose loss was not finite."""

    class Exploding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return self.weight * x * (float("inf") if float(self.weight.detach()) < -2.5 else 1.0)

    config = tiny(optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0})

    class Constant(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for weight in group["params"]:
                    weight.data -= 1.0

    model = Exploding()
    state = State(0, model, Constant(model.parameters(), lr=1.0), {})
    with pytest.raises(Diverged) as caught:
        run(config, 150, state)
    assert caught.value.step == 5  # weights 1, 0, -1, -2, then -3: the fifth loss


@pytest.mark.slow
def test_a_single_image_is_learned() -> None:
    """The loss of a network that only ever sees two images falls far below that of predicting nothing, which is 1."""
    config = tiny(data={"n": 2}, model={"width": 8, "groups": 4}, train={"batch": "full", "steps": 300})
    losses: list[float] = []
    run(config, 300, look=lambda state: losses.append(float(state.loss)))
    assert sum(losses[-20:]) / 20 < 0.6
