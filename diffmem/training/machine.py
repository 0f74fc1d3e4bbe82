"""The machine a run stands on: its device, threads and precision switches, and what meta.json says of them."""

import contextlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import threadpoolctl
import torch

from diffmem import memory
from diffmem.arguments import shown
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.models import parameters

SMALL = 1_000_000  # parameters below which one thread is about as fast as many, and far faster on a busy machine
NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
PACKAGES = ("torch", "diffusers", "numpy", "scipy", "safetensors")
WORKSPACE, WORKSPACES = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")  # with which cuBLAS repeats its sums
AMPERE = (8, 0)  # the first CUDA devices that have TF32
SENT_STATE = "DIFFMEM_GIT_STATE"  # git_state, as JSON, of the checkout from which the code was sent here


def resolve_device(name: str, option: str = "device") -> torch.device:
    """The device of `auto` (cuda, else mps, else cpu) or of a name, which is the value of `option`.

    Raises InputError where there is none such.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"{option}={shown(name)} is no device: use auto, cpu, mps, cuda or cuda:1.") from error
    if device.type == "cuda":
        there = torch.cuda.device_count()
        if (device.index or 0) >= there:
            raise InputError(
                f"{option}={name} is asked for and this machine has {there} CUDA devices: use {option}=auto."
            )
        return torch.device("cuda", device.index or 0)
    if device.type == "cpu" and device.index:
        raise InputError(
            f"{option}={name} is no device: there is one cpu; use {option}=cpu, and threads=N for its cores."
        )
    if device.type == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    if device.type != "cpu":
        raise InputError(
            f"{option}={shown(name)} is not available on this machine: use auto, cpu, mps, cuda or cuda:1."
        )
    return torch.device("cpu")


def memory_of(device: torch.device) -> int:
    """Bytes of memory of the device, or of this machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return memory.there_are()


@dataclass(frozen=True)
class Gpu:
    """`name` is the word for it in CUDA_VISIBLE_DEVICES, which the whole machine shares; `memory` in bytes."""

    name: str
    memory: int


def gpus() -> list[Gpu]:
    """The GPUs that this process may use, in torch's order."""
    found = (torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    return [Gpu(_visible(device), memory_of(device)) for device in found]


def counted(device: torch.device) -> str:
    """The device as the whole machine counts it: a process that was given one GPU of several calls it cuda:0."""
    return f"cuda:{_visible(device)}" if device.type == "cuda" else str(device)


def _visible(device: torch.device) -> str:
    given = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
    return given[device.index or 0] if given else str(device.index or 0)


def out_of_memory(error: Exception, config: Config, device: str) -> memory.OutOfMemory | None:
    """`error` in words where it says that the run of `config` came to the end of the memory of `device`."""
    if not isinstance(error, torch.OutOfMemoryError) and not any(word in str(error) for word in NO_MEMORY):
        return None
    return memory.OutOfMemory(
        f"{device} ran out of memory: use a smaller train.batch ({config.train.batch}), model.width "
        f"({config.model.width}) or eval.tile ({config.eval.tile})"
    )


def configure(config: Config) -> torch.device:
    """Set threads, full float32 and repeatable kernels, and give the device."""
    set_threads(config.threads or default_threads(parameters(config.model, config.data.shape)))
    full_float32()
    device = resolve_device(config.device)
    if device.type == "cuda":
        if os.environ.get(WORKSPACE) not in WORKSPACES:
            os.environ[WORKSPACE] = WORKSPACES[0]  # read when cuBLAS starts
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    return device


def default_threads(parameters: int) -> int:
    """CPU threads for a network of so many parameters where none are asked for: one, or all cores from SMALL on."""
    return 1 if parameters < SMALL else cores()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Threads of torch, and of numpy and scipy."""
    torch.set_num_threads(count)
    threadpoolctl.threadpool_limits(count)


def full_float32() -> None:
    """Switch TF32 off: fp32 means fp32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def precision_of(config: Config, device: torch.device) -> str:
    """The precision that training has on `device`: what is asked for, but fp32 where a device has no TF32."""
    asked = config.train.precision
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
    return asked if asked != "tf32" or has_tf32 else "fp32"


@contextlib.contextmanager
def arithmetic(precision: str, device: torch.device, repeats: bool = True) -> Iterator[None]:
    """What a training step computes with, on CUDA: TF32 where `precision` is tf32, kernels that repeat their bits
    where `repeats`; one that has no such form raises RuntimeError.

    Elsewhere nothing has to be switched. Evaluation stays outside, in full float32.
    """
    if device.type != "cuda":
        yield
        return
    switches: Any = torch.utils.deterministic
    fills, before = switches.fill_uninitialized_memory, torch.are_deterministic_algorithms_enabled()
    switches.fill_uninitialized_memory = False
    torch.use_deterministic_algorithms(repeats)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        full_float32()
        torch.use_deterministic_algorithms(before)
        switches.fill_uninitialized_memory = fills


def describe(device: torch.device) -> dict[str, Any]:
    """What the bits of a run depend on beside its settings."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def git_state() -> dict[str, Any]:
    """Commit and dirty flag of the checkout this code runs from; {} for an installed package."""
    if sent := os.environ.get(SENT_STATE):
        state: dict[str, Any] = json.loads(sent)
        return state
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        commit, dirty = (
            subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, timeout=10, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git_commit": commit.strip(), "git_dirty": bool(dirty.strip())}


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
