"""The study's own text files, written as its code writes them, read as a family."""

from pathlib import Path

import numpy as np
import pytest

from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from diffmem.cli.main import main
from diffmem.errors import InputError
from diffmem.stats.intervals import wilson
from tests.helpers.families import planted_share

STEPS = [0, 250, 500, 750, 1250, 1750, 2750, 4250, 6500, 10000, 15000, 20000]


def write_reference(
    folder: Path, n: int, tau: float, *, samples: int = 10_000, batch: int | None = None, fids: int = 2
) -> Path:
    """A run folder in which f_mem passes 0.05 at `tau` and FID 30 at step 700."""
    run = folder / f"CelebA32_{n}_32_SGD_Momentum_{batch or min(512, n)}_0.0100_index0"
    lines, draws = [""], np.random.default_rng(n)
    for step in STEPS:
        share = draws.binomial(samples, planted_share(step, tau)) / samples
        error = np.sqrt(share * (1 - share) / samples) * draws.normal(1, 0.03)
        low, high = share - 1.96 * error, share + 1.96 * error
        lines.append(f"{step:d}\t{100 * share:.3f}\t{100 * error:.5f}\t{100 * low:.5f}\t{100 * high:.5f}")
    write(run / "Memorization" / "fraction_memorized.txt", lines)
    for k in range(fids):
        values = [-1.0 if step == 1750 else 20 * (1 + 0.5 * 700 / max(step, 1)) + 0.1 * k for step in STEPS]
        write(run / "FID" / f"FID_{k}.txt", [f"{s:d}\t{v:.3f}" for s, v in zip(STEPS, values, strict=True)])
    return run


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def test_the_files_are_a_family_with_its_times(tmp_path: Path) -> None:
    for n in (128, 256, 512, 1024):
        write_reference(tmp_path, n, 8.0 * n)
    family = read_table(tmp_path)
    assert family.runs[["n", "width", "index"]].to_numpy().tolist() == [[n, 32, 0] for n in (128, 256, 512, 1024)]
    first = family.rows.iloc[3]
    assert first["f_mem"] == first["f_mem_count"] / 10_000
    assert (first["f_mem_low"], first["f_mem_high"]) == wilson(int(first["f_mem_count"]), 10_000)
    failed = family.rows[family.rows["step"] == 1750]
    assert failed["fd_inception"].isna().all()
    assert failed["f_mem"].notna().all()
    assert set(family_times(family, 0)["tau_gen_status"]) == {"refused"}  # nobody knows what trivial generators score
    times = family_times(family, 100, level=45.0)
    np.testing.assert_allclose(times["tau_mem"], 8.0 * times["n"], rtol=0.12)
    # 20 (1 + 350 / step) + 0.05 = 45 at step 281, between checkpoints at 250 and 500
    assert set(times["level"]) == {45.0}
    assert times["tau_gen"].between(280, 320).all()
    assert any("no null" in note for note in family.warnings)
    assert any("2 FID values are failures" in note for note in family.warnings)


def test_one_run_alone_and_other_learning_rates(tmp_path: Path) -> None:
    run = write_reference(tmp_path, 1024, 4000)
    assert read_table(run).runs["n"].tolist() == [1024]
    run.rename(tmp_path / "My_Data_64_1024_32_Adam_512_0.0001_index3")
    write_reference(tmp_path, 512, 4000)
    with pytest.raises(InputError, match=r"differ in data .*optimizer.lr \(0.0001, 0.01\); optimizer.name"):
        read_table(tmp_path)


def test_a_batch_cut_to_n_is_the_same_batch(tmp_path: Path) -> None:
    for n, batch in ((128, 128), (1024, 512)):
        write_reference(tmp_path, n, 8.0 * n, batch=batch)
    read_table(tmp_path)
    write_reference(tmp_path, 256, 2000, batch=64)
    with pytest.raises(InputError, match=r"train.batch \(512, 64\)"):
        read_table(tmp_path)


def test_the_number_of_samples_is_checked_against_the_standard_errors(tmp_path: Path) -> None:
    run = write_reference(tmp_path, 128, 1000, samples=2000)
    with pytest.raises(InputError, match=r"--samples=10000 does not fit .* about (19|20)\d\d samples"):
        read_table(run)
    assert set(read_table(run, samples=2000).rows["f_mem_total"]) == {2000}


@pytest.mark.parametrize(
    ("line", "said"),
    [("5000\tx\t1\t1\t1", "is not the 5 numbers step, percent"), ("0 1 1 1 1", "step 0 stands on two")],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    run = write_reference(tmp_path, 128, 1000)
    file = run / "Memorization" / "fraction_memorized.txt"
    file.write_text(file.read_text() + "\n" + line)
    with pytest.raises(InputError, match=said):
        read_table(tmp_path)


def test_a_name_without_settings_is_refused(tmp_path: Path) -> None:
    write_reference(tmp_path, 128, 1000).rename(tmp_path / "mine")
    with pytest.raises(InputError, match="its name does not say its settings"):
        read_table(tmp_path)


def test_samples_are_for_the_studys_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reference(tmp_path, 128, 1000, samples=2000)
    (tmp_path / "m.csv").write_text("run,n\n")
    with pytest.raises(InputError, match="--samples=5 is for the study's own text files, not for a csv"):
        read_table(tmp_path / "m.csv", samples=5)
    assert main(["fit", str(tmp_path)]) == 2
    assert main(["fit", str(tmp_path), "--samples", "2000"]) == 0
    assert "tau_mem" in capsys.readouterr().out
