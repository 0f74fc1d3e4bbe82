"""A tracker beside runs: a process of its own that reads their directories, so that nothing of it enters training.

It ends when the command that started it does, however that ends: then its standard input is closed.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from diffmem.config.options import build, to_mapping
from diffmem.config.tracker import Tracker, Tracking
from diffmem.pictures import Pictures
from diffmem.trackers.base import words
from diffmem.trackers.feed import Feed, follow

LAST_SECONDS = 60.0  # that a command waits for its tracker when its runs are over
NICENESS = 10  # training goes first


@contextlib.contextmanager
def beside(place: Path, options: Tracker, data: str | None = None) -> Iterator[None]:
    """Send what the runs in `place` write while the block lasts. `data` is the folder of images that the user named."""
    if options.name == "none":
        yield
        return
    given = [str(place), json.dumps({"tracker": to_mapping(options)}), *([data] if data else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmem.trackers.beside", *given],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the runs: their last rows are still to be sent
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    voice = threading.Thread(target=_repeat, args=(process,), daemon=True)
    voice.start()
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _say(f"tracker={options.name} was left behind: `diffmem track {place} {words(options)}` sends the rest.")
        voice.join(1.0)


def _repeat(process: "subprocess.Popen[str]") -> None:
    """What the process says, through this one's standard error: a display of progress knows of it then."""
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            print(line, end="", file=sys.stderr)


def _say(sentence: str) -> None:
    print(f"diffmem: {sentence}", file=sys.stderr, flush=True)


def _ended(seconds: float) -> bool:
    """Whether standard input has been closed, after up to `seconds`."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def main() -> None:
    """The body of the process."""
    os.nice(NICENESS)
    place, options, *data = sys.argv[1:]
    tracker = build(Tracking, json.loads(options)).tracker
    follow(Feed(Path(place), tracker, _say, Pictures(Path(data[0]) if data else None)), _ended)


if __name__ == "__main__":
    main()
