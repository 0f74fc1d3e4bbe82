"""The memory a run takes at least, counted from its settings before any of it is taken.

Counted are the numbers that are surely held at one time, float32 unless said otherwise; what torch adds is not. So a
run that is refused could not have been made here, and one that passes may still turn out too large.

Letters: n training images, N held-out images, M samples, d values in one image, P weights.
"""

import torch

from diffmem import memory
from diffmem.config.settings import AdamOptimizer, Config
from diffmem.training import average, machine

FLOAT = 4  # bytes


def parts(config: Config, held_out: int) -> dict[str, float]:
    """Bytes by the option that asks for most of them. `held_out` is N."""
    d = config.data.d
    samples = config.eval.samples if config.can_sample else 0
    tile = min(config.eval.tile, max(samples, 2))
    return {
        **in_training(config),
        f"the {held_out} held-out images": FLOAT
        * d
        * float(held_out)
        * (4 if samples else 1),  # also as float64 pixels
        f"eval.samples={samples}": FLOAT * samples * float(4 * d),  # noise, samples, their pixels as float64
        f"eval.bootstrap={config.eval.bootstrap}": 2 * FLOAT * float(config.eval.bootstrap),
        f"eval.tile={config.eval.tile}": FLOAT * tile * float(d),
    }


def in_training(config: Config) -> dict[str, float]:
    """The bytes that lie on the device in every training step, by option."""
    data, model, d = config.data, config.model, config.data.d
    states = 4 if isinstance(config.optimizer, AdamOptimizer) else 3  # weights, gradients, moments
    states += len(average.names(config.train))
    if config.train.lora_rank is not None:
        states = 1
    return {
        f"data.n={data.n}": FLOAT * d * float(data.n),
        f"model.width={model.width}": FLOAT * states * float(model.least_weights(d)),
        f"train.batch={config.train.batch}": FLOAT * config.batch * float(3 * d + model.least_activations(d)),
    }


def check(config: Config, held_out: int, device: torch.device) -> None:
    """Raise InputError where `config` takes more memory than there is, and name what takes most."""
    counted = parts(config, held_out)
    largest = max(counted, key=lambda name: counted[name])
    what_for = f"most of them for {largest} and images of {config.data.shape}"
    memory.check(sum(counted.values()), "this run", what_for, machine.memory_of(device))
