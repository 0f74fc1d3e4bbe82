"""P1, P2: a training step beside the study's own code, on the same network, batch and optimizer.

    python -m benchmarks.step --reference DIR [--json FILE] [--cases tiny] [--repeats 5] [--profile]

DIR is a checkout of the study's code (github.com/tbonnair/Why-Diffusion-Models-Don-t-Memorize). Its side is its own
network, DataLoader and `train_one_batch`; ours is `unet_reference` through `prepare`, as `diffmem train` takes it. Both
sides take turns in one process. P1 is on the CPU, in process time (a busy machine stretches the clock, not that); P2 on
CUDA, by the clock, after the device is done, with TF32 on and off for the study's code (PyTorch's default has it on for
convolutions). Seconds are medians of one step; the ratio is theirs over ours.

`--profile` prints instead where our step spends its time, ten lines for each case.
"""

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import study
from benchmarks.turns import Found, Missing, Row, show, where
from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training import kernels, machine
from diffmem.training.initial import initial_state
from diffmem.training.step import prepare

WARM_UP = 1  # times that do not count
Steps = Callable[[int], object]  # takes so many steps


@dataclass(frozen=True)
class Case:
    """One network and batch."""

    width: int
    multipliers: tuple[int, ...]
    attention: tuple[int, ...]
    blocks: int
    dropout: float
    size: int
    batch: int
    steps: int  # timed at once

    def config(self, precision: str, graph: str, threads: int) -> Config:
        """Our settings."""
        words = {
            "data.root": ".",
            "data.n": 4 * self.batch,
            "data.size": self.size,
            "model.width": self.width,
            "model.multipliers": [*self.multipliers],
            "model.attention": [*self.attention],
            "model.blocks": self.blocks,
            "model.dropout": self.dropout,
            "train.batch": self.batch,
            "train.precision": precision,
            "train.graph": graph,
            "threads": threads,
        }
        return compose(["experiment=study", *(f"{name}={value}".replace(" ", "") for name, value in words.items())])


CASES = {
    "tiny": Case(16, (1, 2), (), 1, 0.0, 8, 32, 20),
    "W=32 B=64": Case(32, (1, 2, 4), (2, 3), 2, 0.1, 32, 64, 1),
    "W=32 B=512": Case(32, (1, 2, 4), (2, 3), 2, 0.1, 32, 512, 20),
}
ON = {"cpu": ("tiny", "W=32 B=64"), "cuda": ("tiny", "W=32 B=512")}
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16")}


def ours(config: Config, images: Tensor) -> Steps:
    """Our step; the device's own way of computing it is chosen as in a run."""
    device = images.device
    state = initial_state(config, device)
    process = Process.from_config(config.diffusion).to(device)
    step = prepare(state, images, process, config, kernels.choose(config, device))

    def take(count: int) -> None:
        for _ in range(count):
            step(state.step)
            state.step += 1

    return take


def theirs(folder: Path, case: Case, images: Tensor, config: Config, tf32: bool) -> Steps:
    """The study's network, loader and step, on the same images, with the same optimizer."""
    diffusion, unet = study.modules(folder, "Diffusion", "Unet")
    device, shape = str(images.device), tuple(images.shape[1:])
    settings = diffusion.TrainingConfig()
    settings.DEVICE, settings.TIMESTEPS, settings.IMG_SHAPE, settings.mode = device, config.diffusion.T, shape, "normal"
    levels = tuple(level in case.attention for level in range(1, len(case.multipliers) + 1))
    model = unet.UNet(1, 1, case.blocks, case.width, case.multipliers, levels, dropout_rate=case.dropout).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.optimizer.lr, momentum=0.95)
    process = diffusion.DiffusionConfig(n_steps=config.diffusion.T, img_shape=shape, device=device)
    data: Any = images
    loader = torch.utils.data.DataLoader(data, batch_size=case.batch, shuffle=True)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from loader

    stream, loss = batches(), nn.MSELoss()

    def take(count: int) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, tf32  # PyTorch's defaults
        for _ in range(count):
            diffusion.train_one_batch(next(stream).to(device), model, optimizer, loss, settings, process)
        machine.full_float32()

    return take


def seconds(sides: dict[str, Steps], steps: int, repeats: int, device: torch.device) -> dict[str, float]:
    """The median seconds of one step of each side; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(WARM_UP + repeats):
        for name, take in sides.items():
            begin = now(device)
            take(steps)
            if repeat >= WARM_UP:
                taken[name].append((now(device) - begin) / steps)
    return {name: statistics.median(values) for name, values in taken.items()}


def now(device: torch.device) -> float:
    """Seconds of the process on the CPU; of the clock, once the device is done, elsewhere."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def prepared(case: Case, device: torch.device) -> dict[str, Steps]:
    """Our sides, by precision and, on CUDA, with and without a graph."""
    images = torch.randn(4 * case.batch, 1, case.size, case.size, generator=torch.Generator().manual_seed(0)).to(device)
    sides = {}
    for precision in PRECISIONS[device.type]:
        for graph in ("auto", "off") if device.type == "cuda" else ("off",):
            name = f"{precision}, graph" if graph == "auto" else precision
            sides[name] = ours(case.config(precision, graph, torch.get_num_threads()), images)
    return sides


def rows(name: str, folder: Path, device: torch.device, repeats: int) -> list[Row]:
    """The rows of one case: each of our sides over each of theirs."""
    case = CASES[name]
    config = case.config("fp32", "off", torch.get_num_threads())
    images = torch.randn(4 * case.batch, 1, case.size, case.size).to(device)
    mine = prepared(case, device)
    sides = {"study": theirs(folder, case, images, config, tf32=False)}
    if device.type == "cuda":
        sides["study tf32"] = theirs(folder, case, images, config, tf32=True)
    found = seconds({**mine, **sides}, case.steps, repeats, device)
    here = where(device)
    return [
        Row(f"a step, {name}: {side}, {other}", found[side], found[other], found[other] / found[side], repeats, here)
        for side in mine
        for other in sides
    ]


def here(device: torch.device) -> bool:
    return device.type == "cpu" or torch.cuda.is_available()


def configure(name: str, threads: int) -> None:
    machine.configure(CASES[name].config("fp32", "off", threads))


def measure(
    device: torch.device, folder: Path | None, repeats: int, threads: int, cases: Sequence[str] | None = None
) -> Iterator[Found]:
    """The rows of a device: those of `cases`, or of what fits it."""
    what, command = f"a step on {device.type}", f"python -m benchmarks.step --device {device.type}"
    if not here(device):
        how = f"Where there is one: {command} --reference DIR, DIR a checkout of {study.WHERE}"
        yield Missing(what, f"{platform.node()} has no CUDA device", how)
    elif folder is None:
        yield study.without(what, command)
    else:
        for name in cases or ON[device.type]:
            configure(name, threads)
            yield from rows(name, folder, device, repeats)


def profile(name: str, device: torch.device) -> None:
    """Where our step spends its time."""
    case = CASES[name]
    for side, take in prepared(case, device).items():
        take(1)
        with torch.profiler.profile() as found:
            take(case.steps)
        print(f"{name}, {side}")
        print(
            found.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=10, max_name_column_width=40)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=study.folder, help="checkout of the study's code")
    parser.add_argument("--cases", nargs="+", choices=CASES, help="by default those that fit the device")
    parser.add_argument("--device", choices=ON, action="append", help="by default all that are there")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the table here")
    parser.add_argument("--profile", action="store_true", help="print where our step spends its time, and stop")
    options = parser.parse_args()
    devices = [torch.device(name) for name in options.device or ON]
    if options.profile:
        for device in (device for device in devices if here(device)):
            for name in options.cases or ON[device.type]:
                configure(name, options.threads)
                profile(name, device)
        return
    found = (measure(device, options.reference, options.repeats, options.threads, options.cases) for device in devices)
    show(itertools.chain.from_iterable(found), options.json)


if __name__ == "__main__":
    main()
