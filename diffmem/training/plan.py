"""What a run will be, found possible before anything is written or trained: its settings and its directory.

A plan holds no tensor, so a grid of hundreds is planned in the memory of one data set.
"""

from dataclasses import dataclass
from pathlib import Path

from diffmem.config.settings import Config
from diffmem.data import load
from diffmem.data.dataset import check_subset
from diffmem.errors import InputError
from diffmem.files import check_folder
from diffmem.store import RunDir
from diffmem.training import evaluate, machine

FORMAT = 1  # of the run directory; another number is refused


@dataclass(frozen=True)
class Plan:
    """A run that has been found possible. Nothing has been written."""

    config: Config
    run: RunDir


def plan(config: Config) -> Plan:
    """Check everything that can be checked before a run. Raises InputError; writes nothing."""
    machine.resolve_device(config.device)
    dataset = load(config.data)
    check_subset(dataset, config.data)
    evaluate.check(config, dataset.test_count)
    run = RunDir(Path(config.out_folder) / config.run_id(dataset.sha256))
    check_folder(run.path, "out")
    _check_same_run(run, config)
    return Plan(config, run)


def plan_evaluation(run: RunDir, config: Config) -> Plan:
    """Check that the stored checkpoints of `run` can be measured as `config` asks. Writes nothing."""
    machine.resolve_device(config.device)
    dataset = load(config.data)
    trained_on = run.read_meta().get("data", {}).get("sha256")
    if dataset.sha256 != trained_on:
        raise InputError(f"data={config.data.name} is not what {run.path} was trained on (its checksum differs).")
    check_subset(dataset, config.data)
    evaluate.check(config, dataset.test_count)
    return Plan(config, run)


def _check_same_run(run: RunDir, config: Config) -> None:
    """Refuse a directory that another version wrote, or that holds another run."""
    if not run.config_path.exists():
        return
    written = run.read_meta().get("format", FORMAT)
    if written != FORMAT:
        raise InputError(
            f"{run.path} was written in format {written}, and this version reads format {FORMAT}: use the version of "
            "diffmem that wrote it, or another out."
        )
    if Config.from_stored(run.read_config()).trajectory() != config.trajectory():
        raise InputError(f"{run.path} holds a run with other settings: move it away, or choose another out.")
