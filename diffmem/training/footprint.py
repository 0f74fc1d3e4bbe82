"""The memory that a run holds on a GPU at most: measured on a few steps, once for each shape, and what grows with n.

Both are what torch's allocator takes from the device, its unused rest included, so that several runs that fit by these
numbers do not come into each other's way.
"""

from collections.abc import Hashable
from dataclasses import replace

import torch

from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.training import average, machine
from diffmem.training.budget import FLOAT
from diffmem.training.initial import initial_state
from diffmem.training.kernels import choose
from diffmem.training.step import prepare
from diffmem.training.train import train

STEPS = 3
PROCESS = 2**30  # bytes for CUDA's context and kernels in each process, which torch does not count


def shape(config: Config) -> Hashable:
    """What `measure` depends on: runs of one shape differ in data, seed and length alone."""
    training = (config.optimizer.name, config.batch, config.train.precision, config.train.channels_last)
    switches = (config.train.graph, config.train.compile, len(average.names(config.train)), config.train.t)
    return (config.model, config.data.shape, *training, *switches, _tile(config))


def measure(config: Config) -> int:
    """Bytes that a few training steps and one network call of a sampler take of this process's GPU at most.

    To be called in a process that has used the GPU for nothing else. Raises torch.OutOfMemoryError.
    """
    device = machine.configure(config)
    images = torch.zeros(config.batch, *config.data.shape, device=device)
    state = initial_state(config, device)
    process = Process.from_config(config.diffusion).to(device)
    steps = train(state, prepare(state, images, process, config, choose(config, device)))
    for _ in range(1 + STEPS):
        next(steps)
    if config.can_sample:
        noise = initial_noise(_tile(config), config.data.shape).to(device)
        with torch.no_grad():
            sample(state.model.eval(), noise, diffusion=config.diffusion, sampler=replace(config.sampler, calls=1))
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_reserved(device)


def beside(config: Config) -> int:
    """Bytes that are not in `measure`: the process itself, and images that lie on the device for training and measures.

    Those are n training images twice (to train on, and as the index of f_mem), the test images of the losses twice, and
    noise, samples and their float64 pixels.
    """
    samples = config.eval.samples if config.can_sample else 0
    images = 2 * config.data.n + 2 * config.eval.test_images + 4 * samples
    return PROCESS + FLOAT * config.data.d * images


def _tile(config: Config) -> int:
    """Images in one network call of a sampler."""
    return min(config.eval.tile, config.eval.samples)
