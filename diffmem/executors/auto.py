"""The executor where none is named: `devices` for GPUs, `pool` for cores.

It is `devices` where runs may go to any GPU (device=auto or cuda) and torch finds one on this machine: several where
there are several, and several small runs on each. Else it is `pool`. Nothing but that decides.
"""

from dataclasses import replace

from diffmem.config.executor import AutoExecutor, DevicesExecutor, PoolExecutor
from diffmem.config.settings import Config
from diffmem.executors import base, devices
from diffmem.training import machine


def chosen(config: Config) -> Config:
    """`config` with the executor that it stands for here: its own, or what is meant by `auto`."""
    asked = config.executor
    if not isinstance(asked, AutoExecutor):
        return config
    if config.device in ("auto", "cuda") and machine.gpus():
        executor: DevicesExecutor | PoolExecutor = DevicesExecutor(
            workers=asked.workers, retries=asked.retries, tflops=asked.tflops, devices=None, per_device="auto"
        )
    else:
        executor = PoolExecutor(workers=asked.workers, retries=asked.retries, tflops=asked.tflops)
    return replace(config, executor=executor)


def start(config: Config) -> base.Executor:
    """The executor that is chosen. Raises InputError as that does."""
    return base.start(chosen(config))


def width(config: Config) -> tuple[int, int]:
    return base.width(chosen(config))


def notes(config: Config) -> list[str]:
    """Where the runs of a sweep will go, where that is to GPUs. Starts nothing; raises InputError as `start` does."""
    config = chosen(config)
    if not isinstance(config.executor, DevicesExecutor):
        return []
    names = ", ".join(f"cuda:{gpu.name}" for gpu in devices.chosen(config))
    return [f"executor=devices: at most {devices.start(config).capacity} runs at once, on {names}"]
