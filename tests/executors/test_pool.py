"""A pool that is left while its server still loads what comes first: nothing is trained, and nothing ugly is said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffmem.store import find_runs
from tests.helpers.tiny import OVERRIDES

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are read from /proc")]


# a module that takes as long to load as there is anybody to load it for
ENDLESS = """
import os
import time

while os.getppid() == int(os.environ["SWEEP"]):
    time.sleep(0.05)
raise SystemExit
"""
SWEEP = """
import os
import signal
import sys
import threading
import time
from diffmem.cli.main import main
from diffmem.executors import pool

os.environ["SWEEP"] = str(os.getpid())  # which may have left before the server asks for its parent
pool.PRELOAD.insert(0, "endless")

def elsewhere():  # a signal that comes to another thread, as any may, does not end the wait of the main one
    while not os.path.exists("elsewhere"):
        time.sleep(0.05)
    signal.pthread_kill(threading.get_ident(), int(open("elsewhere").read()))
    time.sleep(1000)

threading.Thread(target=elsewhere, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


def loading(sweep: int) -> bool:
    """Whether the process `sweep` has started the server from which its workers come."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == sweep and b"forkserver" in (place / "cmdline").read_bytes():
                    return True
            except OSError:
                continue  # it has ended
    return False


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_at_once(number: signal.Signals, elsewhere: bool, tmp_path: Path) -> None:
    words = ["sweep", "experiment=null", *OVERRIDES, "data.n=8,10", "executor=pool", "executor.workers=2", "out=runs"]
    (tmp_path / "endless.py").write_text(ENDLESS)
    sweep = subprocess.Popen(
        [sys.executable, "-c", SWEEP, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not loading(sweep.pid) and sweep.poll() is None:
        time.sleep(0.02)
    if elsewhere:
        (tmp_path / "told").write_text(str(int(number)))
        (tmp_path / "told").rename(tmp_path / "elsewhere")
    else:
        os.killpg(sweep.pid, number) if number == signal.SIGINT else os.kill(sweep.pid, number)  # as a terminal does
    out, err = sweep.communicate()
    assert sweep.returncode == 130, (out, err)
    assert "Traceback" not in out + err
    assert "KeyboardInterrupt" not in out + err
    assert all(run.checkpoint_steps() == [] for run in find_runs(tmp_path / "runs"))
