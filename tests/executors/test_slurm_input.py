"""What is wrong with an order to Slurm is said in a sentence, before anything is written: its commands are played."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'diffmem[slurm]'")

from diffmem.cli.main import main
from diffmem.executors.base import width
from diffmem.executors.open_runs import OpenRuns
from diffmem.executors.slurm import Array
from diffmem.training.plan import plan
from tests.helpers.engines import quick
from tests.helpers.slurm_cluster import OPTIONS
from tests.helpers.tiny import OVERRIDES

Commands = Callable[..., None]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Put scripts of these names in the place of all commands; what is called is written to `called`."""
    place = tmp_path / "bin"
    place.mkdir()

    def write(**bodies: str) -> None:
        for name, body in bodies.items():
            (place / name).write_text(f'#!/bin/bash\necho {name} "$@" >>{tmp_path / "called"}\n{body}\n')
            (place / name).chmod(0o755)

    monkeypatch.setenv("PATH", f"{place}:/usr/bin-without-slurm:/bin-without-slurm")
    (place / "bash").symlink_to("/bin/bash")
    return write


def sweep(tmp_path: Path, *words: str) -> int:
    return main(["sweep", *OVERRIDES, "executor=slurm", f"out={tmp_path / 'runs'}", *words])


def test_a_machine_without_slurm(tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "executor=slurm: this machine has no sbatch." in said
    assert not (tmp_path / "runs").exists()


def test_a_plan_asks_slurm_nothing(tmp_path: Path, commands: Commands) -> None:
    commands(**dict.fromkeys(("sbatch", "srun", "squeue", "scancel"), "exit 1"))
    assert width(quick(tmp_path / "runs", {**OPTIONS, "workers": 5})) == (5, 5)
    assert {path.name for path in tmp_path.iterdir()} == {"bin"}


def test_who_looks_for_free_runs_is_in_nobodys_way(tmp_path: Path) -> None:
    """A task that finds the lock of a run taken, by a look, leaves it: the look tries no lock that it need not."""
    planned = plan(quick(tmp_path, {**OPTIONS}))
    array = Array(None, OpenRuns(tmp_path / "slurm"), planned.config.executor)  # type: ignore[arg-type]
    name = array._runs.name(0, planned)
    assert array._is_free(name)
    assert list(tmp_path.iterdir()) == []
    with planned.run.lock():
        assert not array._is_free(name)
    before = planned.run.read_lease()
    assert array._is_free(name)
    assert planned.run.read_lease() == before


def test_slurms_own_words_come_once(tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    commands(srun="", squeue="", scancel="", sbatch=REFUSAL)
    words = ["executor.partition=nosuch", "executor.mem=2G", "executor.gres='gpu:1'", "executor.account=lab"]
    assert sweep(tmp_path, *words, "executor.sbatch='--qos=long --exclusive'", "executor.cpus=3") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("diffmem: Slurm says: invalid partition specified: nosuch. ")
    assert said.count("partition") == 1
    assert not (tmp_path / "runs").exists()
    asked = (tmp_path / "called").read_text()
    for flag in ("--test-only", "--partition=nosuch", "--mem=2G", "--gres=gpu:1", "--account=lab", "--qos=long"):
        assert f" {flag} " in asked
    assert " --exclusive " in asked
    assert " --cpus-per-task=3 " in asked
    assert " --signal=USR1@90 " in asked


REFUSAL = """
echo 'sbatch: error: invalid partition specified: nosuch' >&2
echo 'allocation failure: Invalid partition name specified' >&2
exit 1"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["executor.time=1"], "executor.signal_seconds=90 leaves nothing of executor.time=1 min"),
        (["executor.workers=0"], "executor.workers=0 is out of range: it must be >= 1 and <= 100000."),
        (["executor.sbatch=-n2"], "-n2 is no long option: write --name=value"),
        (["executor.sbatch='--comment=\"a'"], "cannot be read (No closing quotation): close its quotes."),
        (["executor.partitoin=a"], "executor.partitoin is no option: did you mean executor.partition?"),
    ],
)
def test_options_that_make_no_sense(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
