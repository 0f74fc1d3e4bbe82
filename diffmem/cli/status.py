"""`diffmem status`: where the runs of a folder stand, whoever runs them."""

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffmem.sweep.state import RunState

SUMMARY = "show where the runs of a folder stand, and what to type next"
LOOK_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder of runs, or one run")
    parser.add_argument("--watch", action="store_true", help="go on showing it until every run is over, or Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.sweep import progress
    from diffmem.sweep.state import States, find

    runs = find(arguments.folder)
    states = States(runs)
    if arguments.watch:
        with contextlib.suppress(KeyboardInterrupt), progress.Progress(runs):
            while any(state.group in ("running", "waiting") for state in states.read()):
                time.sleep(LOOK_SECONDS)
    found = states.read()
    print("\n".join(progress.table(found)))
    print(f"\n{progress.overall(found)}. {_advice(found, arguments.folder)}")
    return 0


def _advice(states: "Sequence[RunState]", folder: Path) -> str:
    """What to type next."""
    groups = {state.group for state in states}
    report = f"`diffmem report {folder}`"
    if "running" in groups:
        return f"`diffmem status {folder} --watch` goes on showing this, {report} reports what is there so far."
    if "waiting" in groups:
        return (
            f"Where no sweep is at work, the command that began them goes on with them; {report} reports what is there."
        )
    if "failed" in groups:
        return f"The command that began them tries again what failed; {report} reports the others."
    return f"All are over: {report} fits, draws and reports them."
