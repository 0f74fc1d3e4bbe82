"""The reader `noise_resolved` on planted gaps of losses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.studies import noise_resolved
from diffmem.analysis.studies.reading import Request
from diffmem.errors import InputError
from diffmem.pictures import Pictures

ONSETS = {5: 900.0, 50: 300.0, 200: 600.0, 800: np.inf}


def write_runs(path: Path, times: dict[int, float]) -> Path:
    step = np.array([0, *np.rint(np.geomspace(50, 2000, 13))]).astype(int)
    runs = []
    for seed in (0, 1):
        run = pd.DataFrame({"run": f"digits-s{seed}", "n": 64, "width": 16, "seed": seed, "index": seed, "step": step})
        for t, onset in times.items():
            run[f"loss_test_t{t}"] = np.where(step > 0, 0.5, 1.0)
            run[f"loss_train_t{t}"] = run[f"loss_test_t{t}"] - 0.05 * np.minimum(step / (onset * (1 + 0.02 * seed)), 9)
        runs.append(run)
    pd.concat(runs).to_csv(path, index=False)
    return path


def test_the_slope_and_the_onsets_are_the_planted_ones(tmp_path: Path) -> None:
    keys = ["runs.slope", "runs.n64.t50", "runs.n64.t800", "runs.n32.t50"]
    places = {"runs": write_runs(tmp_path / "runs.csv", ONSETS)}
    found = noise_resolved.read(Request(places=places, keys=keys, images=Pictures())).found
    true, _ = np.polyfit(np.log([5, 50, 200]), np.log([900, 300, 600]), 1)
    assert found["runs.slope"].ours == pytest.approx(true, abs=0.02)
    assert found["runs.slope"].setting == "n = 64, 2 of 2 runs"
    assert found["runs.n64.t50"].low < 303 < found["runs.n64.t50"].high
    assert "2 of 2 runs have not come to it" in found["runs.n64.t800"].note
    assert "no losses were measured there" in found["runs.n32.t50"].note


def test_few_diffusion_times_are_refused(tmp_path: Path) -> None:
    places = {"runs": write_runs(tmp_path / "runs.csv", {5: 300.0})}
    with pytest.raises(InputError, match=r"fewer than 4 diffusion times: set eval\.t to more"):
        noise_resolved.read(Request(places=places, keys=["runs.slope"], images=Pictures()))
