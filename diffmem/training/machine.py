"""The machine a run stands on: its device, threads and precision switches, and what meta.json says of them."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import threadpoolctl
import torch

from diffmem.config.settings import Config
from diffmem.errors import InputError

PACKAGES = ("torch", "diffusers", "numpy", "scipy", "safetensors")


def resolve_device(name: str) -> torch.device:
    """The device of `auto` (cuda, else mps, else cpu) or of a name. Raises InputError where there is none such."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device={name} is no device: use auto, cpu, mps, cuda or cuda:1.") from error
    if device.type == "cuda":
        there = torch.cuda.device_count()
        if (device.index or 0) >= there:
            raise InputError(f"device={name} is asked for and this machine has {there} CUDA devices: use device=auto.")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    if device.type != "cpu":
        raise InputError(f"device={name} is not available on this machine: use auto, cpu, mps, cuda or cuda:1.")
    return torch.device("cpu")


def configure(config: Config) -> torch.device:
    """Set threads and full float32, and give the device."""
    threads = config.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads)  # numpy's and scipy's
    full_float32()
    return resolve_device(config.device)


def full_float32() -> None:
    """Switch TF32 off: fp32 means fp32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


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
