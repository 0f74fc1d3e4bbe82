"""The training loop, in plain sight: epsilon prediction on keyed batches (Ho, Jain, Abbeel 2020, Algorithm 1).

`train` yields the state at every step; who takes it decides what to do with it: evaluation, files and progress stand
outside. Every draw is keyed by (seed, purpose, step), so the state at a step depends on nothing but the settings: not
on who looked, nor on how often it was killed or resumed.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training.initial import State

CHECK_STEPS = 100  # between looks at whether the loss is finite


def train(state: State, images: Tensor, process: Process, config: Config) -> Iterator[State]:
    """Train `state` in place, without end: yields it as it comes and after every step.

    `images` [n, ...] in model space lie on the training device. Raises Diverged within CHECK_STEPS of a loss that is
    not finite; who keeps a state asks `state.check()` first, and leaves the model in the mode it came in.
    """
    state.model.train()
    while True:
        yield state
        state.loss = _step(state, images, process, config)
        state.step += 1
        first = (state.diverged_at < 0) & ~torch.isfinite(state.loss)
        state.diverged_at = torch.where(first, state.step, state.diverged_at)
        if state.step % CHECK_STEPS == 0:
            state.check()


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
