"""The command line: one sentence and exit code 2 for bad input, and nothing written."""

import json
import multiprocessing
import os
import re
import resource
import signal
from pathlib import Path

import pytest
import yaml

from diffmem.cli.main import main
from diffmem.config.identity import YOUNGER
from diffmem.errors import reading
from diffmem.store import RunDir
from tests.helpers.families import planted_rows
from tests.helpers.tiny import CHECKPOINTS, OVERRIDES, tiny


def tiny_overrides(*more: str) -> list[str]:
    named = {word.partition("=")[0] for word in more}
    return [word for word in OVERRIDES if word.partition("=")[0] not in named] + list(more)


BAD_OVERRIDES = [
    ("data.m=3", "data.m is no option: did you mean data.n?"),
    ("trian.steps=3", "did you mean train.steps?"),
    ("+extra=1", "extra is no option"),
    ("data=digit", "data=digit: data is one of array, celeba, cifar10, digits"),
    ("data=null", "data is one of"),
    ("experiment=none", "experiment is one of digits_law, ema_width, finetune, interventions/augmentation, "),
    ("data.dim=3", "data.dim does not apply to data=digits"),
    ("data.n", "write key=value"),
    ("data.n=0", "data.n=0 is out of range: it must be >= 2 and <= 100000000."),
    ("data.n=1", "data.n=1"),
    ("data.n=1298", "data.n"),
    ("data.index=200", "data.index"),
    ("model.width=5", "model.width=5 gives a level of 5 channels"),
    ("train.batch=0", "train.batch=0"),
    ("train.steps=0", "train.steps=0"),
    ("train.steps=-3", "train.steps=-3"),
    ("device=gpu", "device=gpu"),
    ("device=cuda", "this machine has 0 CUDA devices"),
    ("eval.samples=3", "both must be at least 4"),
    ("eval.quality=fid", "eval.quality=fid"),
    ("optimizer.lr=0", "optimizer.lr=0.0 is out of range: it must be > 0 and <="),
    ("seed=-1", "seed=-1"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("override", "words"), BAD_OVERRIDES)
@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_bad_overrides(verb: str, override: str, words: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([verb, *(["experiment=quickstart"] if verb == "sweep" else []), *tiny_overrides(override)])
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.startswith("diffmem: ")
    assert len(printed.err.splitlines()) == 1
    assert list(empty.iterdir()) == []


def test_a_grid_is_not_one_run(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *tiny_overrides("data.n=8,16")]) == 2
    assert "names several values: `diffmem train -m` or `diffmem sweep` runs a grid" in capsys.readouterr().err


def test_odd_n_of_the_mixture(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "data=mixture", "model=resmlp", "data.n=33"]) == 2
    assert "use an even number such as data.n=34" in capsys.readouterr().err
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("data", ["image_folder", "celeba"])
def test_a_data_root_that_is_not_there(data: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for root in ("null", "missing"):
        assert main(["train", f"data={data}", f"data.root={root}"]) == 2
        assert "data.root" in capsys.readouterr().err
    assert list(empty.iterdir()) == []


def test_an_out_that_is_a_file(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "taken").write_text("")
    for out in ("taken", "taken/deeper"):
        assert main(["train", *tiny_overrides(f"out={out}")]) == 2
        assert "taken is a file where a directory is needed" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fit", "report", "evaluate"])
def test_a_folder_that_is_no_run(verb: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "hollow").mkdir()
    for folder in ("missing", "hollow"):
        assert main([verb, folder]) == 2
        assert folder in capsys.readouterr().err
    assert list((empty / "hollow").iterdir()) == []


def test_unknown_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "diffmem: trian is no verb: did you mean train?\n"
    assert main(["--quick"]) == 2
    assert "--quick" in capsys.readouterr().err


def test_no_verb_is_a_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr()
    assert "first steps:" in printed.out
    assert printed.err == ""


def test_flags_and_words_stand_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", "missing", "--out", "f", "times_vs_n"]) == 2
    assert "missing" in capsys.readouterr().err
    assert main(["sweep", "--adaptive", "experiment=null", "data.n=8,16", "--runs", "4", "data.m=3"]) == 2
    assert "data.m is no option" in capsys.readouterr().err
    assert main(["train", "data.n=32", "--cfg", "seed=3"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["seed"] == 3


def test_what_nobody_thought_of_is_a_sentence(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(arguments: object) -> int:
        with reading("runs/mine"):
            raise KeyError("lost")

    monkeypatch.setattr("diffmem.cli.fit.run", broken)
    assert main(["fit", "runs/mine"]) == 1
    assert capsys.readouterr().err == "diffmem: runs/mine: KeyError: 'lost' (add --debug to see where).\n"
    assert main(["fit", "--debug", "runs/mine"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in broken" in said


@pytest.mark.parametrize(
    "out", ["a" * 300, "missing/" + "a" * 300, "b/" * 2000, "/dev/null", "/proc/x", "loop", "gone/x"]
)
@pytest.mark.parametrize("verb", ["train", "fit", "theory"])
def test_a_place_that_cannot_be_written_is_found_first(
    verb: str, out: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty / "loop").symlink_to("loop")
    (empty / "gone").symlink_to("nowhere")
    planted_rows(16, 400, 150).to_csv(empty / "mine.csv", index=False)
    before = sorted(empty.iterdir())
    words = {
        "train": ["train", *tiny_overrides(f"out={out}")],
        "fit": ["fit", "mine.csv", "--out", out],
        "theory": ["theory", "curves", f"out={out}"],
    }
    assert main(words[verb]) == 2
    said = capsys.readouterr().err
    assert "out=" in said
    assert len(said) < 500
    assert sorted(empty.iterdir()) == before


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb in ("train", "sweep", "evaluate", "fit", "report"):
        assert verb in printed
        assert main([verb, "--help"]) == 0
    assert "overrides are Hydra's" in capsys.readouterr().out


def test_cfg_shows_what_would_run(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "data.n=32"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["data"]["n"] == 32
    assert "# data: array, celeba, cifar10, digits" in printed
    assert list(empty.iterdir()) == []


@pytest.mark.slow
def test_train_resumes_refuses_and_evaluates(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", *OVERRIDES, "out=runs"]
    assert main(command) == 0
    assert "complete, trained to step 24." in capsys.readouterr().out
    (path,) = Path("runs").iterdir()
    assert [entry.name for entry in empty.iterdir()] == ["runs"]  # Hydra leaves nothing of its own
    assert main(command) == 0
    assert "nothing to do, the run is over" in capsys.readouterr().out

    run = RunDir(path)
    assert main(["evaluate", str(path)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["evaluate", str(path), "eval.samples=150", "eval.k=0.5"]) == 0
    printed = capsys.readouterr()
    assert f"{len(CHECKPOINTS)} rows computed" in printed.out
    told = printed.err.splitlines()
    assert told[0] == f"measuring step 0, 1 of {len(CHECKPOINTS)}"
    assert re.fullmatch(rf"measuring step 24, {len(CHECKPOINTS)} of {len(CHECKPOINTS)}: \d+ s left", told[-1])
    (other,) = (path / "evals").iterdir()
    rows = [json.loads(line) for line in (other / "metrics.jsonl").read_text().splitlines()]
    assert [row["f_mem_total"] for row in rows] == [150] * len(CHECKPOINTS)
    assert yaml.safe_load((other / "eval.yaml").read_text())["eval"]["k"] == 0.5
    assert all(row["f_mem_total"] == 128 for row in run.primary.read_rows())
    assert main(["evaluate", str(path), "data.n=5"]) == 2
    assert "can be measured under other eval, sampler, device, threads only" in capsys.readouterr().err

    with run.lock():
        assert main(["train", *OVERRIDES, "out=runs", "train.steps=30"]) == 2
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err

    settings = run.read_config()
    settings["optimizer"]["lr"] = 0.5
    run.write_config(settings)
    assert main(command) == 2
    assert "holds a run with other settings" in capsys.readouterr().err

    settings["optimizer"]["lr"] = 0.01
    run.write_config(settings)
    run.write_meta({**run.read_meta(), "format": 99})
    assert main(command) == 2
    assert "was written in format 99" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_fills_a_row_that_was_lost_and_refuses_a_damaged_checkpoint(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *OVERRIDES, "out=runs"]) == 0
    (path,) = Path("runs").iterdir()
    run = RunDir(path)
    before = run.primary.metrics_path.read_bytes()
    run.primary.metrics_path.write_bytes(b"".join(before.splitlines(keepends=True)[:3]))
    assert main(["evaluate", str(path)]) == 0
    assert run.primary.metrics_path.read_bytes() == before
    weights = run.checkpoint_path(24) / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    capsys.readouterr()
    assert main(["evaluate", str(path), "eval.k=0.5"]) == 2
    assert "step_00000024/diffusion_pytorch_model.safetensors is damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_multirun_is_hydras_and_leaves_nothing_behind(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", *tiny_overrides("data.n=8,10", "train.steps=2", "out=runs")]) == 0
    assert [entry.name for entry in empty.iterdir()] == ["runs"]
    runs = sorted(entry.name for entry in Path("runs").iterdir())
    assert len(runs) == 2
    assert capsys.readouterr().out.count("complete, trained to step 2") == 2
    assert main(["train", "-m", *tiny_overrides("data.n=8,1", "out=runs")]) == 2
    assert main(["train", "-m", *tiny_overrides("data.n=8,10", "train.stps=2", "out=runs")]) == 2
    assert sorted(entry.name for entry in Path("runs").iterdir()) == runs


def test_a_divergence_ends_the_run_with_its_step(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny_overrides("optimizer=sgd", "optimizer.lr=1e6", "optimizer.momentum=0.9", "out=runs", "grid.first=20")
    assert main(["train", *words]) == 1
    assert "diverged, the loss held NaN or infinite values at step" in capsys.readouterr().out
    (path,) = Path("runs").iterdir()
    assert RunDir(path).read_status()["status"] == "diverged"
    assert [row["step"] for row in RunDir(path).primary.read_rows()] == [0]


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_keeps_its_rows(empty: Path) -> None:
    """A limit on file size stands in for the disk: the write of a large file fails half way."""
    command = ["train", *OVERRIDES, "out=runs"]
    process = multiprocessing.get_context("spawn").Process(target=_with_small_files, args=(command,))
    process.start()
    process.join()
    assert process.exitcode == 1
    (path,) = Path("runs").iterdir()
    run = RunDir(path)
    rows = run.primary.read_rows()
    assert [row["step"] for row in rows] == CHECKPOINTS[: len(rows)]
    assert 1 <= len(rows) < len(CHECKPOINTS)
    assert run.read_status()["status"] == "failed"
    assert main(command) == 0
    assert [row["step"] for row in run.primary.read_rows()] == CHECKPOINTS


def _with_small_files(command: list[str]) -> None:
    """Run until the metrics file passes a size that no file may pass (the first rows fit, later ones do not)."""
    from diffmem import store

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    append = store.EvalDir.append_row

    def append_and_fill(self: store.EvalDir, row: dict[str, object]) -> None:
        append(self, row)
        if row["step"] == CHECKPOINTS[1]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    store.EvalDir.append_row = append_and_fill  # type: ignore[method-assign, assignment]
    os._exit(main(command))


def test_every_override_of_the_tiny_run_is_the_tiny_mapping(capsys: pytest.CaptureFixture[str]) -> None:
    """The two ways of writing the tiny run agree, so its tests on the command line and in process are of one run."""
    assert main(["train", "--cfg", *OVERRIDES]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    stored = tiny().trajectory()["data"]
    assert stored == {key: value for key, value in shown["data"].items() if key in stored}
    assert all(shown["data"][key] == value for key, value in YOUNGER["data"].items() if key in shown["data"])


@pytest.mark.parametrize("words", [["data.n=3"], ["train.steps=9", "threads=1"], ["--adaptive", "seed=1"]])
def test_a_sweep_adds_nothing_to_the_quickstart_unasked(
    words: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *words]) == 2
    said = capsys.readouterr().err
    assert (
        "without an experiment would add runs to the quickstart, in runs/quickstart: say experiment=quickstart" in said
    )
    assert list(empty.iterdir()) == []
    assert main(["sweep", "--cfg", *words]) == 0  # shows, and does nothing


def test_a_sweep_of_models_that_cannot_sample_is_read_off_its_losses(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *OVERRIDES, "experiment=null", "executor=here", "train.t=2", "out=runs"]) == 0
    assert "the window ends at tau_mem (overfit_onset)" in capsys.readouterr().err
    assert Path("runs/report.html").is_file()


def test_a_sweep_of_several_settings_is_run_and_not_fitted(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*OVERRIDES, "experiment=null", "executor=here", "optimizer.lr=0.01,0.02", "train.steps=2", "out=runs"]
    assert main(["sweep", "--adaptive", *words]) == 2
    assert "these differ in optimizer.lr (0.01, 0.02)" in capsys.readouterr().err
    assert list(empty.iterdir()) == []
    assert main(["sweep", *words]) == 0
    assert "the runs differ in optimizer.lr (0.01, 0.02), so they have no common law" in capsys.readouterr().err
    assert len([path for path in Path("runs").iterdir() if path.is_dir()]) == 2
    assert not Path("runs/report.html").exists()
