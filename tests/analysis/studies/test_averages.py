"""The reader `averages` on planted runs: the times of each width of average are told apart, and nothing else counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.studies import averages
from diffmem.analysis.studies.reading import Reading, Request
from diffmem.analysis.tables.evaluations import by_width
from diffmem.errors import InputError
from diffmem.pictures import Pictures
from diffmem.store import EvalDir, RunDir
from tests.helpers.families import planted_rows, settings

WIDTHS = {0.0: 1.0, 0.02: 1.02, 0.2: 1.35}
N, TAU = 64, 900.0


def write(folder: EvalDir, frame: pd.DataFrame) -> None:
    rows = frame.drop(columns=["run", "n", "width", "seed", "index"]).to_dict("records")
    folder.write_rows({**{str(name): value for name, value in row.items()}, "step": int(row["step"])} for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs whose own rows are of width 0.2, evaluated under others too."""
    out = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        run = RunDir(out / f"run-{seed}")
        run.path.mkdir()
        own = settings(N, seed, eval__weights="posthoc", eval__ema_sigma=0.2) | {"sampler": {"calls": 20}}
        run.write_config(own)
        for place, (width, slower) in enumerate(WIDTHS.items()):
            frame = planted_rows(N, slower * TAU, slower * 100, seed=seed)
            if width == 0.2:
                write(run.primary, frame)
                continue
            chosen = {**own["eval"], "weights": "raw", "ema_sigma": None}
            chosen |= {"weights": "posthoc", "ema_sigma": width} if width else {}
            beside = run.evaluation(f"{place:08x}")
            beside.write_settings({"eval": chosen, "sampler": own["sampler"]})
            write(beside, frame)
        other = run.evaluation("ffffffff")  # of other samples: no width of this family
        other.write_settings({"eval": {**own["eval"], "samples": 7}, "sampler": own["sampler"]})
        write(other, planted_rows(N, 10, 10, seed=seed))
    return out


@pytest.fixture(scope="module")
def reading(folder: Path) -> Reading:
    keys = ["tau_mem.0.2/0.02", "tau_gen.0.2/0.02", "tau_bias.0.2/0", "tau_mem.0.1/0.02"]
    return averages.read(Request(places={"family": folder}, keys=keys, images=Pictures()))


def test_each_width_is_a_family_of_its_own(folder: Path) -> None:
    families = by_width(folder)
    assert list(families) == list(WIDTHS)
    assert all(len(family.runs) == 2 for family in families.values())


def test_the_ratios_are_the_planted_ones(reading: Reading) -> None:
    for key, true in (("tau_mem.0.2/0.02", 1.35 / 1.02), ("tau_gen.0.2/0.02", 1.35 / 1.02), ("tau_bias.0.2/0", 1.35)):
        assert reading.found[key].ours == pytest.approx(true, rel=0.04), key


def test_a_width_that_was_not_measured_is_said(reading: Reading) -> None:
    found = reading.found["tau_mem.0.1/0.02"]
    assert np.isnan(found.ours)
    assert "no rows of eval.ema_sigma=0.1" in found.note


def test_the_table_has_every_row_with_the_times_of_its_run(reading: Reading) -> None:
    table = reading.picture.data
    assert set(table["ema_sigma"]) == set(WIDTHS)
    assert not table.duplicated(["run", "ema_sigma", "step"]).any()
    mean = table.groupby("ema_sigma")["tau_mem"].mean()
    assert mean[0.2] > 1.2 * mean[0.02]


def test_runs_without_such_rows_are_refused(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.write_config(settings(N, eval__weights="ema") | {"sampler": {"calls": 20}})
    write(run.primary, planted_rows(N, 900, 100))
    with pytest.raises(InputError, match=r"holds no rows of raw weights or of eval.weights"):
        by_width(tmp_path)
