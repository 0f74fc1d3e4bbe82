"""What one run takes on this machine as it is now: seconds of a training step and of a checkpoint's evaluation."""

from dataclasses import dataclass

import torch

from diffmem.config.settings import Config
from diffmem.sweep.estimate import counts, evaluation_calls
from diffmem.training import machine
from diffmem.training.beside import BesideCost
from diffmem.training.speed import Speed


@dataclass(frozen=True)
class Cost:
    """Seconds of one training step, and of one evaluation."""

    step: float
    evaluation: float

    def of_run(self, config: Config, steps: int) -> float:
        """Seconds of a run of `config` that ends at `steps`."""
        checkpoints = sum(step <= steps for step in config.checkpoint_steps())
        return steps * self.step + checkpoints * self.evaluation


def measure(config: Config, device: torch.device) -> Cost:
    """The cost of a run of `config` on `device`: on a busy machine it is longer. Raises InputError without its data."""
    machine.set_threads(config.threads or 1)
    speed, beside = Speed(device), BesideCost(device)(config, *counts(config))
    images = sum(evaluation_calls(config))
    return Cost(speed.step(config), images * speed.call(config) + beside.each)
