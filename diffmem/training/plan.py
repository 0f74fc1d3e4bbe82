"""What a run will be, found possible before anything is written or trained: its settings and its directory.

A plan holds no tensor, so a grid of hundreds is planned in the memory of one data set.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diffmem.config.data import AUTO, FileData
from diffmem.config.settings import Config
from diffmem.data import Dataset, load, split
from diffmem.data.dataset import TEST_COUNT, check_same_data, check_subset
from diffmem.data.labels import check_same_labels, labels_of
from diffmem.errors import InputError, all_at_once
from diffmem.files import check_folder
from diffmem.store import RunDir
from diffmem.training import asked, average, budget, evaluate, lora, machine, start, weights


@dataclass(frozen=True)
class Plan:
    """A run that has been found possible. Nothing has been written. `notes` are what its user should know before it."""

    config: Config
    run: RunDir
    notes: tuple[str, ...] = ()


def plan(config: Config) -> Plan:
    """Check everything that can be checked before a run. Raises InputError; writes nothing."""
    device = machine.resolve_device(config.device)
    _check_weights(config)
    if config.train.lora_rank is not None:
        lora.check()
    dataset = load(config.data)
    notes = _check(config, dataset, device)
    run = RunDir(Path(config.out_folder) / config.run_id(dataset.sha256, start.sha256(config)))
    check_folder(run.path, "out")
    _check_same_run(run, config)
    _check_networks(run, config)
    return Plan(config, run, notes)


def outline(config: Config) -> Plan:
    """The plan of a run whose data are not at hand: checked as far as it goes, and with a directory that is not there.

    Raises InputError; writes nothing. It is no plan to train by.
    """
    machine.resolve_device(config.device)
    _check_weights(config)
    asked.check(config, evaluate.REAL_IMAGES, TEST_COUNT)
    run = RunDir(Path(config.out_folder) / config.run_id("not at hand"))
    check_folder(run.path, "out")
    return Plan(config, run)


def plan_evaluation(run: RunDir, config: Config) -> Plan:
    """Check that the stored checkpoints of `run` can be measured as `config` asks. Writes nothing."""
    device = machine.resolve_device(config.device)
    dataset = load(config.data)
    check_same_data(dataset, run.data_sha256, run.path)
    check_same_labels(dataset, config.data, run.read_meta()["data"], run.path)
    notes = _check(config, dataset, device)
    _check_networks(run, config)
    return Plan(config, run, (*notes, *weights.check(run, config)))


def _check(config: Config, dataset: Dataset, device: torch.device) -> tuple[str, ...]:
    """Whether data and machine have what `config` asks for, all complaints at once; what a user should know."""
    free = dataset.count - dataset.test_count

    def subset() -> list[str]:
        check_subset(dataset, config.data)
        if config.data.scale == AUTO:
            split(dataset, config.data)  # refuses images that have no spread
        return []

    def told() -> list[str]:
        labels_of(dataset, config.data, config.classes)
        return []

    def memory() -> list[str]:
        budget.check(config, dataset.test_count, device)
        return []

    def evaluation() -> list[str]:
        return asked.check(config, min(free, evaluate.REAL_IMAGES), dataset.test_count)

    def background() -> list[str]:
        if config.eval.background not in (None, "auto"):
            machine.resolve_device(str(config.eval.background), "eval.background")
        return []

    parts = all_at_once(subset, told, evaluation, memory, background)
    notes = [*filter(None, (dataset.left_out, _classes_apart(dataset)))]
    if dataset.removed is not None:
        removed = len(dataset.removed.pairs)
        notes.append(f"{config.data.name}: {removed} {dataset.removed.how} copies are taken out, {dataset.count} left")
    if isinstance(config.data, FileData) and dataset.count < TEST_COUNT + 2:
        notes.append(
            f"{config.data.name} has {dataset.count} images: the last {dataset.test_count}, half of so few, are held "
            f"out, and {free} are there to train on"
        )
    return (*notes, *(note for part in parts for note in part))


def _classes_apart(dataset: Dataset) -> str:
    """A sentence where the test split is of other classes than the rest, as in folders of classes in natural order."""
    if dataset.labels is None:
        return ""
    head, test = np.split(dataset.labels, [dataset.count - dataset.test_count])
    if set(head.tolist()) & set(test.tolist()):
        return ""
    return (
        f"{dataset.name}: the test split, the last {dataset.test_count}, holds no class that is trained on: use "
        "data.order=shuffled"
    )


def _check_weights(config: Config) -> None:
    """Refuse rows, of a run that is yet to be trained, of an average that is rebuilt from all of it."""
    if weights.are_rebuilt(config):
        first, second = average.POSTHOC
        raise InputError(
            f"eval.ema_sigma={config.eval.ema_sigma:g} is rebuilt from the checkpoints of a run, which are not there "
            f"while it trains: train with eval.ema_sigma={first} or {second}, which are stored, and use `diffmem "
            "evaluate` then."
        )


def _check_networks(run: RunDir, config: Config) -> None:
    asked.check_networks(config, run.read_meta().get("networks", {}), run.path)


def _check_same_run(run: RunDir, config: Config) -> None:
    """Refuse a directory that another version wrote, or that holds another run."""
    if not run.config_path.exists():
        return
    if Config.from_stored(run.read_config(), run.config_path).trajectory() != config.trajectory():
        raise InputError(f"{run.path} holds a run with other settings: move it away, or choose another out.")
