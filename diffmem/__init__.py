"""diffmem: measure, predict and compare when a diffusion model stops generalizing and starts to memorize.

`load_run(path)` and `load_runs(folder, n=64)` open what was trained, `load_family(folder)` is all of it as one table,
`fit(folder)` its times, laws and figures; a `MemorizationMonitor` watches another training loop. Nothing heavy is
imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from diffmem.version import __version__

if TYPE_CHECKING:
    from diffmem.family import Fit, fit, load_family
    from diffmem.monitor import MemorizationMonitor
    from diffmem.runs import Run, load_run, load_runs

__all__ = ["Fit", "MemorizationMonitor", "Run", "__version__", "fit", "load_family", "load_run", "load_runs"]

_HOMES = {
    "Fit": "diffmem.family",
    "fit": "diffmem.family",
    "load_family": "diffmem.family",
    "MemorizationMonitor": "diffmem.monitor",
    "Run": "diffmem.runs",
    "load_run": "diffmem.runs",
    "load_runs": "diffmem.runs",
}

if not TYPE_CHECKING:  # a type checker takes the names from above, and knows that there are no others

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'diffmem' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
