"""Run directories and csv files in, one tidy table out; what does not fit is named."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from diffmem.analysis.tables.family import read_table, write_metrics_csv
from diffmem.analysis.times.family import family_times
from diffmem.errors import InputError
from diffmem.store import RunDir, find_runs
from tests.helpers.families import planted_rows, write_run


def rows(n: int = 16, seed: int = 0) -> pd.DataFrame:
    return planted_rows(n, 10.0 * n, 150, seed=seed, rng=np.random.default_rng([n, seed]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in (16, 64):
        for seed in (0, 1):
            write_run(tmp_path / "runs", rows(n, seed))
    return tmp_path / "runs"


def test_directories_and_their_csv_hold_the_same_bits(folder: Path, tmp_path: Path) -> None:
    family = read_table(folder)
    planted = pd.concat([rows(n, seed) for n in (16, 64) for seed in (0, 1)], ignore_index=True)
    pd.testing.assert_frame_equal(family.rows, planted, check_dtype=False, check_exact=True)
    assert family.warnings == []
    write_metrics_csv(family, tmp_path / "metrics.csv")
    again = read_table(tmp_path / "metrics.csv")
    pd.testing.assert_frame_equal(again.rows, family.rows, check_exact=True)
    columns = ["run", "n", "width", "seed", "index"]
    pd.testing.assert_frame_equal(again.runs[columns], family.runs[columns])
    assert again.ratios("n16-w16-s0", 50) is None


def test_ratios_are_read_where_stored(folder: Path) -> None:
    family = read_table(folder)
    path = folder / "n16-w16-s0" / "samples"
    path.mkdir()
    others = {"i1": np.array([0, 1]), "i2": np.array([1, 0]), "images": np.zeros((2, 1, 8, 8), np.float32)}
    arrays = {"d1": np.array([1.0, 2.0]), "d2": np.array([4.0, 2.5]), **others}
    save_file(arrays, path / "step_00000050.safetensors")
    ratios = family.ratios("n16-w16-s0", 50)
    assert ratios is not None
    assert ratios.tolist() == [0.25, 0.8]
    assert family.ratios("n16-w16-s0", 67) is None


@pytest.mark.parametrize("status", ["running", "failed", "diverged", "queued"])
def test_a_run_that_did_not_end_is_used_and_said(folder: Path, status: str) -> None:
    write_run(folder, rows(256), status=status)
    family = read_table(folder)
    assert len(family.runs) == 5
    assert family.warnings == [
        f"n256-w16-s0: the run is {status}, not complete; what it did not reach counts as censored."
    ]


def test_a_run_without_rows_is_left_out_and_a_torn_line_dropped(folder: Path) -> None:
    write_run(folder, rows(256)).primary.metrics_path.unlink()
    torn = folder / "n16-w16-s1" / "metrics.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"step": 99, "f_m')
    family = read_table(folder)
    assert "n256-w16-s0" not in set(family.runs["run"])
    assert len(family.rows) == 4 * 26
    assert [("torn" in note, "no row" in note) for note in family.warnings] == [(True, False), (False, True)]


def test_rows_that_lack_a_number_are_dropped_and_counted(tmp_path: Path) -> None:
    table = rows()
    table.loc[[3, 5], "f_mem"] = [np.nan, np.inf]
    table["loss_test_t50"] = np.nan
    table.to_csv(tmp_path / "m.csv", index=False)
    family = read_table(tmp_path / "m.csv")
    assert family.warnings == ["n16-w16-s0: 2 of 26 rows lack a number and were dropped."]
    assert set(table["step"]) - set(family.rows["step"]) == set(table["step"][[3, 5]])


def test_a_step_without_quality_keeps_its_f_mem_and_is_named(tmp_path: Path) -> None:
    table = rows()
    table.loc[[3, 5], "fd_pixels"] = [np.nan, np.inf]
    table.to_csv(tmp_path / "m.csv", index=False)
    family = read_table(tmp_path / "m.csv")
    assert family.warnings == ["n16-w16-s0: fd_pixels is missing at 2 of 26 steps."]
    assert len(family.rows) == 26
    kept = table.drop(index=[3, 5])
    kept.to_csv(tmp_path / "k.csv", index=False)
    columns = ["tau_gen", "tau_gen_low", "tau_gen_status"]
    gaps, without = (family_times(read_table(tmp_path / name), n_boot=0)[columns] for name in ("m.csv", "k.csv"))
    pd.testing.assert_frame_equal(gaps, without)


def test_a_measure_that_a_whole_run_lacks_drops_nothing(tmp_path: Path) -> None:
    table = pd.concat([rows(16), rows(64).assign(fd_pixels=np.nan)])
    table.to_csv(tmp_path / "m.csv", index=False)
    assert len(read_table(tmp_path / "m.csv").rows) == 52


def copy(folder: Path, name: str, as_name: str, **meta: Any) -> RunDir:
    shutil.copytree(folder / name, folder / as_name)
    if meta:
        RunDir(folder / as_name).write_meta(meta)
    return RunDir(folder / as_name)


def test_copies_of_a_run_count_once_and_replicates_do_not(folder: Path) -> None:
    whole = read_table(folder)
    short = copy(folder, "n16-w16-s0", "a")  # behind: the copy was made before the end
    short.primary.write_rows(short.primary.read_rows()[:9])
    copy(folder, "n64-w16-s1", "n64-w16-s1-COPY")
    family = read_table(folder)
    pd.testing.assert_frame_equal(family.rows, whole.rows)
    assert family.warnings == [
        "a is a copy of n16-w16-s0 (the same n, W, seed, data.index and data): the two count once.",
        "n64-w16-s1-COPY is a copy of n64-w16-s1 (the same n, W, seed, data.index and data): the two count once.",
    ]
    assert "a" in set(read_table(folder, keep="a").runs["run"])
    pd.testing.assert_frame_equal(family_times(family, n_boot=50), family_times(whole, n_boot=50))


def test_a_checksum_says_more_than_rows_do(folder: Path) -> None:
    """Rows differ in the last bit between machines; two sets of images may give the same first rows."""
    one, other = {"data": {"sha256": "1"}}, {"data": {"sha256": "2"}}
    RunDir(folder / "n16-w16-s0").write_meta(one)
    moved = copy(folder, "n16-w16-s0", "moved", **one)
    moved.primary.write_rows({**row, "fd_pixels": row["fd_pixels"] + 1e-9} for row in moved.primary.read_rows())
    copy(folder, "n16-w16-s0", "of_other_images", **other)
    runs = set(read_table(folder).runs["run"])
    assert "of_other_images" in runs
    assert len(runs & {"n16-w16-s0", "moved"}) == 1
    RunDir(folder / "moved").write_meta({})  # now nobody knows, and the rows differ
    assert len(read_table(folder).runs) == 6


def test_copies_in_a_csv_count_once(tmp_path: Path) -> None:
    table = rows()
    pd.concat([table, table.assign(run="again"), rows(16, 1)]).to_csv(tmp_path / "m.csv", index=False)
    family = read_table(tmp_path / "m.csv")
    assert sorted(family.runs["run"]) == ["again", "n16-w16-s1"]
    assert len(family.rows) == 52
    assert len(family.warnings) == 1


@pytest.mark.parametrize("damage", [b"", b"x" * 99])
def test_damaged_samples_are_named_once_and_left_out(folder: Path, damage: bytes) -> None:
    path = folder / "n16-w16-s0" / "samples" / "step_00000050.safetensors"
    path.parent.mkdir()
    path.write_bytes(damage)
    family = read_table(folder)
    assert family.ratios("n16-w16-s0", 50) is None
    assert family.ratios("n16-w16-s0", 50) is None
    assert len(family.warnings) == 1
    assert f"n16-w16-s0: the samples of step 50 are left out: {path} is damaged" in family.warnings[0]


@pytest.mark.parametrize(
    ("key", "value"), [("optimizer__lr", 1e-4), ("model__name", "resmlp"), ("train__batch", 8), ("eval__samples", 9)]
)
def test_runs_of_two_settings_are_no_family(folder: Path, key: str, value: Any) -> None:
    write_run(folder, rows(256), **{key: value})
    with pytest.raises(InputError, match=rf"{key.replace('__', '.')} \(.*folder of their own"):
        read_table(folder)


def test_steps_stop_grid_and_device_may_differ(folder: Path) -> None:
    other: dict[str, Any] = {
        "train__steps": 5,
        "grid__per_decade": 4,
        "device": "cuda",
        "threads": 2,
        "experiment": "x",
    }
    write_run(folder, rows(256), **other)
    assert len(read_table(folder).runs) == 5


@pytest.mark.parametrize("name", ["run", "n", "width", "seed", "index", "step"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    rows().drop(columns=name).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(InputError, match=f"lacks the column {name}:"):
        read_table(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("name", "at", "value", "message"),
    [
        ("f_mem_count", 4, 501, "f_mem_count=501 of run n16-w16-s0 at step 119 is more than f_mem_total=500"),
        ("f_mem_count", 4, -1, "f_mem_count=-1 .* is negative"),
        ("fd_pixels", 4, -0.5, "fd_pixels=-0.5 .* is negative"),
        ("f_mem", 4, 1.5, "f_mem=1.5 .* above 1"),
        ("step", 4, 50, "steps of run n16-w16-s0 do not ascend"),
        ("step", 4, 89, "steps of run n16-w16-s0 do not ascend"),
        ("step", 0, -50, "steps of run n16-w16-s0 do not ascend"),
        ("n", 4, 17, "several values of n"),
        ("f_mem", 4, "much", "column f_mem holds something that is no number"),
        ("n", 4, math.inf, r"m\.csv, line 6: n=inf .* is no whole number"),
        ("step", 4, 1e19, r"line 6: step=1e\+19 .* is no whole number"),
        ("step", 4, 10.5, r"line 6: step=10\.5 .* is no whole number"),
        ("n", 4, 1.9, r"line 6: n=1\.9 .* is no whole number"),
        ("n", 4, 0, r"line 6: n=0 .* is below 1"),
        ("f_mem_count", 4, 50.5, r"line 6: f_mem_count=50\.5 .* is no whole number"),
        ("f_mem_total", 4, 0, r"line 6: f_mem_total=0 .* is below 1"),
        ("f_mem", 4, 0.9, r"line 6: f_mem=0\.9 .* is not \d+ of 500"),
        ("run", 4, "", r"line 6: the run has no name"),
        ("p_train", 4, 1.5, r"line 6: p_train=1\.5 .* is a share above 1"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, name: str, at: int, value: Any, message: str) -> None:
    table = rows().astype({name: object})
    table.loc[at, name] = value
    table.to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "m.csv")


def test_a_column_that_stands_twice_is_named(tmp_path: Path) -> None:
    lines = rows().to_csv(index=False).splitlines()
    (tmp_path / "m.csv").write_text("\n".join(f"{line},{line.split(',')[-1]}" for line in lines))
    with pytest.raises(InputError, match=r"m\.csv has the column [\w@]+ twice"):
        read_table(tmp_path / "m.csv")


def test_rows_longer_than_their_header_are_named(tmp_path: Path) -> None:
    lines = rows().to_csv(index=False).splitlines()
    (tmp_path / "m.csv").write_text("\n".join([lines[0], *(f"{line},1" for line in lines[1:])]))
    with pytest.raises(InputError, match="more values than its header has columns"):
        read_table(tmp_path / "m.csv")


def test_an_infinite_loss_is_left_out_with_a_note(tmp_path: Path) -> None:
    table = rows().assign(loss_test_t50=0.5)
    table.loc[4, "loss_test_t50"] = math.inf
    table.to_csv(tmp_path / "m.csv", index=False)
    family = read_table(tmp_path / "m.csv")
    assert family.rows["loss_test_t50"].isna().sum() == 1
    assert any("loss_test_t50 is missing at 1 of" in note for note in family.warnings)


def test_a_row_without_a_seed_is_left_out_with_a_note(tmp_path: Path) -> None:
    table = rows().astype({"seed": object})
    table.loc[4, "seed"] = None
    table.to_csv(tmp_path / "m.csv", index=False)
    family = read_table(tmp_path / "m.csv")
    assert len(family.rows) == len(table) - 1
    assert any("1 of" in note and "dropped" in note for note in family.warnings)


@pytest.mark.parametrize(("key", "value"), [("data.n", "8"), ("data.n", 8.5), ("seed", None), ("model.width", [4])])
def test_a_config_that_names_no_family_is_refused(folder: Path, key: str, value: Any) -> None:
    run = next(iter(find_runs(folder)))
    settings = run.read_config()
    group, _, name = key.rpartition(".")
    (settings[group] if group else settings)[name] = value
    run.write_config(settings)
    with pytest.raises(InputError, match=rf"config\.yaml: {key}="):
        read_table(folder)


def test_a_jackknife_interval_may_reach_below_zero(tmp_path: Path) -> None:
    rows().assign(fd_pixels_low=-0.1, loss_gen_t50=-0.2).to_csv(tmp_path / "m.csv", index=False)
    assert len(read_table(tmp_path / "m.csv").rows) == 26


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run with metrics"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="no directory"):
        read_table(tmp_path / "nowhere")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read as csv"):
        read_table(tmp_path / "empty.csv")
    (tmp_path / "header.csv").write_text("run,n\n")
    with pytest.raises(InputError, match="holds no row"):
        read_table(tmp_path / "header.csv")
