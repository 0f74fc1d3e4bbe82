"""diffmem: measure, predict and compare when a diffusion model stops generalizing and starts to memorize.

`load_run(path)` and `load_runs(folder)` open what was trained; a `MemorizationMonitor` watches another training loop.
Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import Any

from diffmem.version import __version__

__all__ = ["MemorizationMonitor", "Run", "__version__", "load_run", "load_runs"]


def __getattr__(name: str) -> Any:
    if name in ("Run", "load_run", "load_runs"):
        return getattr(import_module("diffmem.runs"), name)
    if name == "MemorizationMonitor":
        return import_module("diffmem.monitor").MemorizationMonitor
    raise AttributeError(f"module 'diffmem' has no attribute {name!r}")
