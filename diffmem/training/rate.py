"""The learning rate of a step, where `optimizer.decay` lets it go down: a number on the device, at a fixed address.

It follows from the settings and the step alone, so a resumed run has it without its being stored, and a recorded step
reads it as it reads its other inputs.
"""

import torch
from torch import Tensor

from diffmem.config.decay import decay_of
from diffmem.config.settings import Config


def follow(optimizer: torch.optim.Optimizer, rate: Tensor, config: Config) -> None:
    """Let `optimizer` read its learning rate from `rate` [], where `config` has it go down."""
    if config.optimizer.decay is not None:
        for group in optimizer.param_groups:
            group["lr"] = rate


def fill(rate: Tensor, config: Config, step: int) -> None:
    """Put the learning rate of the step after `step` steps into `rate` [], where `config` has it go down."""
    if config.optimizer.decay is not None:
        rate.fill_(config.optimizer.lr * decay_of(config.optimizer.decay).share(step))
