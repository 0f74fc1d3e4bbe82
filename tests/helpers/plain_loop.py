"""The training loop of version 0.1, kept as it was: a step written from Python, with a generator for every draw.

Its bytes are those that a step must have on the CPU, whatever runs it.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training import average
from diffmem.training.initial import State


def plain_steps(state: State, images: Tensor, process: Process, config: Config, steps: int) -> None:
    """Train `state` in place for `steps` steps on `images` [n, ...], on the CPU."""
    state.model.train()
    for _ in range(steps):
        _step(state, images, process, config)
        state.step += 1
        _average(state, config)


def _step(state: State, images: Tensor, process: Process, config: Config) -> None:
    batch, step = config.batch, state.step
    x0 = images[_batch(config.seed, step, len(images), batch)]
    if config.data.flips:
        mirrored = torch.rand(batch, generator=_generator(config.seed, "flip", step)) < 0.5
        x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
    eps = torch.empty_like(x0).normal_(generator=_generator(config.seed, "noise", step))
    if config.train.t is None:
        t = torch.randint(1, process.T, (batch,), generator=_generator(config.seed, "t", step))
    else:
        t = torch.full((batch,), config.train.t)
    alpha_bar = process.alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
    with _dropout(config, step), torch.autocast("cpu", torch.bfloat16, enabled=config.train.precision == "bf16"):
        prediction = state.model(x_t, t)
    loss = nn.functional.mse_loss(prediction.float(), eps)
    state.optimizer.zero_grad()
    loss.backward()
    if config.optimizer.clip is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), config.optimizer.clip)
    state.optimizer.step()


@torch.no_grad()
def _average(state: State, config: Config) -> None:
    weights = dict(state.model.named_parameters())
    for averaged, decay in zip(state.averages.values(), average.decays(config.train, state.step), strict=True):
        torch._foreach_lerp_(list(averaged.values()), [weights[name] for name in averaged], 1 - decay)


def _generator(seed: int, purpose: str, step: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed((rng.key(seed, purpose) + step) % 2**63)


def _batch(seed: int, step: int, n: int, batch: int) -> Tensor:
    epoch, offset = divmod(step * batch, n)
    orders = [
        np.random.Generator(np.random.Philox(key=rng.key(seed, "batch order", one))).permutation(n)
        for one in (epoch, epoch + 1)
    ]
    return torch.from_numpy(np.concatenate(orders)[offset : offset + batch])


@contextlib.contextmanager
def _dropout(config: Config, step: int) -> Iterator[None]:
    if not config.model.has_dropout:
        yield
        return
    with torch.random.fork_rng([]):
        torch.manual_seed((rng.key(config.seed, "dropout") + step) % 2**63)
        yield
