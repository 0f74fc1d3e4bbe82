"""Seconds of a training step and of a network call on this machine, from a few of them, each shape measured once.

What takes long is measured on fewer images and taken in proportion. While it measures, the cores that other runs of a
sweep would use are kept at work.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.errors import InputError
from diffmem.training import average, machine
from diffmem.training.flops import skeleton
from diffmem.training.initial import initial_state
from diffmem.training.kernels import choose
from diffmem.training.step import prepare
from diffmem.training.train import train

LONG_SECONDS = 1.0  # nothing is repeated, or measured on more images, where it takes longer
REPEATS = 3
CALLS = 3  # network calls of a sampler that are measured
COPIES = 4  # numbers a weight takes in training: itself, its gradient, two moments


class Speed:
    """Measures on `device` what it has not measured yet of the same shape. Set the process's threads before.

    Raises InputError where the device has not the memory for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[object, float] = {}

    def step(self, config: Config) -> float:
        """Seconds of one training step."""
        shape = (config.model, config.data.shape, config.batch, config.optimizer.name, config.train.precision)
        switches = (config.train.channels_last, config.train.graph, config.train.compile)
        key = (*shape, *switches, len(average.names(config.train)))
        return self._once(key, config, config.batch, self._step_of)

    def call(self, config: Config) -> float:
        """Seconds that the network takes for one image of a tile, in a sampler."""
        images = min(config.eval.tile, config.eval.samples)
        key = (config.model, config.data.shape, images, config.sampler.name)
        return self._once(key, config, images, self._call_of) / images

    def _once(self, key: object, config: Config, images: int, seconds_of: Callable[[Config, int], float]) -> float:
        """Seconds of `images`, from as many of them as take at most LONG_SECONDS."""
        if key in self._known:
            return self._known[key]
        self._check_room(config)
        count = 1
        while True:
            try:
                seconds = seconds_of(config, count)
            except torch.OutOfMemoryError as error:
                raise InputError(
                    f"{count} images at once do not fit the memory of {self._device} with model.width="
                    f"{config.model.width}: use a smaller train.batch or eval.tile, or give executor.tflops."
                ) from error
            larger = min(4 * count, images)
            if count == images or seconds * larger / count > LONG_SECONDS:
                self._known[key] = seconds * images / count
                return self._known[key]
            count = larger

    def _check_room(self, config: Config) -> None:
        weights = skeleton(config.model, config.data.shape).parameters()
        needed = COPIES * sum(weight.numel() * weight.itemsize for weight in weights)
        there = machine.memory_of(self._device)
        if needed > there / 2:
            raise InputError(
                f"model.width={config.model.width} takes {needed / 1e9:.3g} GB in training, too much to measure a step "
                f"here, with {there / 1e9:.3g} GB: give executor.tflops, what a device for it sustains."
            )

    def _step_of(self, config: Config, batch: int) -> float:
        """Seconds of a step on `batch` images."""
        config = replace(config, train=replace(config.train, batch=batch))
        images = torch.zeros(batch, *config.data.shape, device=self._device)
        process = Process.from_config(config.diffusion).to(self._device)
        state = initial_state(config, self._device)
        steps = train(state, prepare(state, images, process, config, choose(config, self._device)))
        next(steps)  # as it comes
        return least(lambda: float(next(steps).loss))  # waits for the device

    def _call_of(self, config: Config, images: int) -> float:
        """Seconds of one network call on `images` in a sampler."""
        model = initial_state(config, self._device).model.eval()
        noise = initial_noise(images, config.data.shape).to(self._device)
        sampler = replace(config.sampler, calls=min(CALLS, config.sampler.calls))

        def draw() -> float:
            return float(sample(model, noise, diffusion=config.diffusion, sampler=sampler).sum())

        return least(draw) / sampler.calls


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep so many other cores at work with products of matrices, as the other runs of a sweep would."""
    over = threading.Event()

    def work() -> None:
        matrix = torch.ones(512, 512)
        while not over.is_set():
            torch.mm(matrix, matrix)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(cores)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def seconds(work: Callable[[], object]) -> float:
    """Seconds of `work`."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def least(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few times of `work`, or of the first where that is long."""
    first = seconds(work)
    return first if first > LONG_SECONDS / 2 else min(first, *(seconds(work) for _ in range(REPEATS - 1)))
