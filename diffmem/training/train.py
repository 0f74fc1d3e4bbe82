"""The training loop, in plain sight: epsilon prediction on keyed batches (Ho, Jain, Abbeel 2020, Algorithm 1).

`train` yields the state at the steps it is asked for and whenever its caller wants a pause; evaluation, files and
progress stand outside. Every draw is keyed by (seed, purpose, step), so the state at a step depends on nothing but
the settings: not on how often it was yielded, killed or resumed.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import AdamWOptimizer, Config, Optimizer, SGDOptimizer
from diffmem.diffusion.process import Process
from diffmem.models import build


class Diverged(Exception):
    """The loss (or what `what` names) was NaN or infinite at `step`."""

    def __init__(self, step: int, what: str = "the loss") -> None:
        super().__init__(f"{what} held NaN or infinite values at step {step}")
        self.step = step


@dataclass
class State:
    """Where training stands after `step` optimizer steps. `ema` maps parameter names to averaged weights."""

    step: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: dict[str, Tensor]
    loss: Tensor = field(default_factory=lambda: torch.tensor(float("nan")))  # of the last step, not stored


def initial_state(config: Config, device: torch.device) -> State:
    """The state at step 0: weights drawn on the CPU, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.key(config.seed, "initial weights") % 2**63)
        model = build(config.model, config.data.shape)
    model = model.to(device)
    if config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = {name: weight.detach().clone() for name, weight in model.named_parameters()} if config.train.ema else {}
    return State(0, model, make_optimizer(model, config.optimizer), ema)


def make_optimizer(model: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    weights = list(model.parameters())
    if isinstance(config, SGDOptimizer):
        return torch.optim.SGD(
            weights, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
        )
    kind = torch.optim.AdamW if isinstance(config, AdamWOptimizer) else torch.optim.Adam
    return kind(weights, lr=config.lr, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, fused=True)


def train(
    state: State,
    images: Tensor,
    process: Process,
    config: Config,
    *,
    stops: Collection[int],
    pause: Callable[[], bool] = lambda: False,
) -> Iterator[State]:
    """Train `state` in place up to the last of `stops`, yielding it there and wherever `pause()` is true.

    `images` [n, ...] in model space lie on the training device. Raises Diverged, before a state that holds
    non-finite weights is yielded.
    """
    device = images.device
    diverged_at = torch.full((), -1, device=device)  # kept on the device: looking at it each step would wait for it
    state.model.train()
    while True:
        paused = pause()
        if paused or state.step in stops:
            _check(diverged_at)
            yield state
            state.model.train()
        if state.step >= max(stops):
            return
        loss = _step(state, images, process, config)
        state.step += 1
        state.loss = loss
        diverged_at = torch.where((diverged_at < 0) & ~torch.isfinite(loss), state.step, diverged_at)
        if state.step % 100 == 0:
            _check(diverged_at)


def _step(state: State, images: Tensor, process: Process, config: Config) -> Tensor:
    device, batch, step = images.device, config.batch, state.step
    x0 = images[rng.batch_indices(config.seed, step, len(images), batch, device)]
    eps = torch.empty_like(x0).normal_(generator=rng.generator(config.seed, "noise", step, device))
    if config.train.t is None:
        times = rng.generator(config.seed, "t", step, device)
        t = torch.randint(1, process.T, (batch,), generator=times, device=device)
    else:
        t = torch.full((batch,), config.train.t, device=device)
    x_t = process.noise(x0, eps, t)

    with (
        _dropout_keyed(config, step, device),
        torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bf16"),
    ):
        prediction = state.model(x_t, t)
    loss = nn.functional.mse_loss(prediction.float(), eps)  # Ho et al. 2020, Eq. 14
    state.optimizer.zero_grad()
    loss.backward()
    if config.optimizer.clip is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), config.optimizer.clip)
    state.optimizer.step()
    if config.train.ema is not None:
        weights = dict(state.model.named_parameters())
        with torch.no_grad():
            torch._foreach_lerp_(list(state.ema.values()), [weights[name] for name in state.ema], 1 - config.train.ema)
    return loss.detach()


@contextlib.contextmanager
def _dropout_keyed(config: Config, step: int, device: torch.device) -> Iterator[None]:
    """Dropout takes no generator, so the device's default one is keyed by the step and put back."""
    if not config.model.has_dropout:
        yield
        return
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type="cuda" if device.type == "cpu" else device.type):
        torch.manual_seed((rng.key(config.seed, "dropout") + step) % 2**63)
        yield


def _check(diverged_at: Tensor) -> None:
    step = int(diverged_at)
    if step >= 0:
        raise Diverged(step)
