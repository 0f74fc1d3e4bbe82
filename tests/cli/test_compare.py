"""`diffmem compare`: the files it writes, the same bytes for the same inputs, and one sentence for bad input."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from diffmem.analysis.pages.compare import read_sections
from diffmem.analysis.pages.compare_words import others, p_words
from diffmem.cli.main import main
from diffmem.store import RunDir
from diffmem.tree import Tree
from tests.helpers.compare_targets import noise_images, trained
from tests.helpers.pages import EVIL, Reader

FILES = {
    *("table.csv", "samples.parquet", "pairs.csv", "copied.csv", "denoising.csv", "ranks.csv", "correlations.csv"),
    *("sheet.png", "section.html", "compare.html", "compare.json"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def compared(run: Path) -> Path:
    """The default folder of a comparison of two checkpoints with the exact bookend."""
    words = [f"{run}@4", f"{run}@last", f"{run}@0", "empirical", "--samples", "100", "--device", "cpu"]
    assert main(["compare", *words]) == 0
    return next((run.parent / "compare").iterdir())


@pytest.mark.slow
def test_files(compared: Path) -> None:
    assert {file.name for file in compared.iterdir()} == FILES
    table, samples = pd.read_csv(compared / "table.csv"), pd.read_parquet(compared / "samples.parquet")
    assert len(table) == 4
    assert list(samples) == ["target", "sample", "d1", "d2", "ratio", "nearest", "second", "memorized"]
    shares = samples.groupby("target", sort=False)["memorized"].mean()
    np.testing.assert_allclose(shares, table["f_mem"])
    assert len(pd.read_csv(compared / "pairs.csv")) == 6
    with Image.open(compared / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert (np.abs(pixels - np.array([0xD0, 0x15, 0x2B])).max(1) < 4).sum() > 500  # red frames
    record = json.loads((compared / "compare.json").read_text())
    assert record["overall"]["test"] == "Cochran's Q"
    trained = table[table["kind"] == "run"].sort_values("f_mem", ascending=False, kind="stable")
    assert record["sentence"].startswith(f"{trained['target'].iloc[0]} memorizes most: f_mem = ")


@pytest.mark.parametrize(("words", "expected"), [([], 1), (["--threads", "2"], 2)])
def test_small_networks_take_one_thread_unless_told_otherwise(
    words: list[str], expected: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[int] = []
    monkeypatch.setattr("diffmem.training.machine.set_threads", set_to.append)
    command = ["compare", f"{run}@0", "--samples", "100", "--device", "cpu", "--out", str(tmp_path / "out"), *words]
    assert main(command) == 0
    assert set_to == [expected]


def test_page_stands_alone(compared: Path) -> None:
    page = Reader((compared / "compare.html").read_text())
    for _, attributes in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#"))
        assert attributes.get("xlink:href", "#").startswith("#")
    assert page.open == []
    for words in ("Is the difference real?", "What is copied", "coverage", "Kadkhodaie et al. 2024"):
        assert words in page.text
    section = (compared / "section.html").read_text()
    assert section.startswith("<section")
    assert section in (compared / "compare.html").read_text()
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(run: Path, compared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file.name: file.read_bytes() for file in compared.iterdir()}
    words = [f"{run}@4", f"{run}@last", f"{run}@0", "empirical", "--samples", "100", "--device", "cpu"]
    assert main(["compare", *words]) == 0
    assert {file.name: file.read_bytes() for file in compared.iterdir()} == before
    assert len(list(compared.parent.iterdir())) == 1
    words[words.index("100")] = "90"
    assert main(["compare", *words, "--out", str(compared)]) == 2
    assert "holds another comparison" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in compared.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("writes", [0, 5])
def test_a_killed_comparison_is_made_again(
    run: Path, compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """The disk takes a few of its files and no more; the same words then give the same bytes."""
    words = [f"{run}@4", f"{run}@last", f"{run}@0", "empirical", "--samples", "100", "--device", "cpu"]
    command, write, left = ["compare", *words, "--out", str(tmp_path / "out")], Tree.write, iter(range(writes))

    def killed(self: Tree, path: Path, content: bytes, *, durable: bool = True) -> None:
        if next(left, None) is None:
            if writes:
                path.with_name(f".{path.name}.1").write_bytes(content[:9])  # what a kill leaves beside its place
            raise OSError(28, "No space left on device")
        write(self, path, content, durable=durable)

    with monkeypatch.context() as patched:
        patched.setattr(Tree, "write", killed)
        assert main(command) == 1
    assert read_sections(tmp_path)[0] == []
    assert main(command) == 0
    made = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert made == {file.name: file.read_bytes() for file in compared.iterdir()}


def test_sections_are_made_again_from_their_tables(compared: Path) -> None:
    assert read_sections(compared.parent) == ([(compared / "section.html").read_text()], [])


def test_nothing_of_a_changed_comparison_is_taken_as_markup(compared: Path, tmp_path: Path) -> None:
    away = '<meta http-equiv="refresh" content="0;url=http://evil.example/">'
    changes: dict[str, Callable[[Path], object]] = {
        "raw": lambda place: (place / "section.html").write_text(away),
        "said": lambda place: replaced(place / "compare.json", '"sentence": "', '"sentence": "<meta>'),
        "named": lambda place: replaced(place / "table.csv", "empirical", "<meta>"),
        "shown": lambda place: (place / "sheet.png").write_bytes(b"<svg onload=alert(1)>"),
        "cut": lambda place: (place / "pairs.csv").write_text("first\n1\n"),
        "no json": lambda place: (place / "compare.json").write_text("[]"),
    }
    for name, change in changes.items():
        shutil.copytree(compared, tmp_path / name / "one")
        change(tmp_path / name / "one")
        sections, notes = read_sections(tmp_path / name)
        assert len(sections) + len(notes) == 1
        assert not any("<meta" in one or "onload" in one for one in sections)
        assert len(notes) == (name in ("shown", "cut", "no json", "named")), (name, notes)


def replaced(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_one_target_and_names_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name is text on the page, whatever it holds."""
    name = EVIL.replace("/", "") + ".npy"
    np.save(tmp_path / name, noise_images(20, 0).numpy())
    np.save(tmp_path / "train.npy", noise_images(30, 0).numpy())
    out = tmp_path / "out"
    words = [str(tmp_path / name), "--train", str(tmp_path / "train.npy"), "--samples", "20", "--out", str(out)]
    assert main(["compare", *words]) == 0
    assert "f_mem = 1.000" in capsys.readouterr().out
    for file in ("compare.html", "section.html"):
        page = Reader((out / file).read_text())
        assert {"script", "iframe"} & {tag for tag, _ in page.elements} == set()
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert "<script>alert" in page.text


@pytest.mark.slow
def test_points_have_no_picture(tmp_path: Path) -> None:
    from tests.helpers.compare_targets import gaussians

    run = gaussians(tmp_path)
    assert (
        main(["compare", str(run), "population", "empirical", "--samples", "60", "--out", str(tmp_path / "out")]) == 0
    )
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES


def test_one_name_in_two_folders(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", noise_images(30, 0).numpy())
    words = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        np.save(tmp_path / place / "samples.npy", noise_images(20, 1 if place == "a" else 0).numpy())
        words.append(str(tmp_path / place / "samples.npy"))
    out = tmp_path / "out"
    options = ["--train", str(tmp_path / "train.npy"), "--samples", "20", "--out", str(out)]
    assert main(["compare", *words, *options]) == 0
    assert pd.read_csv(out / "table.csv")["target"].tolist() == words


def saved_images(folder: Path, **images: torch.Tensor) -> dict[str, str]:
    """Tensor files <name>.npy of `images`, by name."""
    paths = {name: folder / f"{name}.npy" for name in images}
    for name, path in paths.items():
        np.save(path, images[name].numpy())
    return {name: str(path) for name, path in paths.items()}


def test_what_is_held_out_decides_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train = noise_images(30, 0)
    path = saved_images(tmp_path, train=train, samples=train[:20], one=noise_images(20, 1), two=noise_images(20, 2))
    words = ["compare", path["samples"], "--train", path["train"], "--samples", "20"]
    for heldout in ([], ["--heldout", path["one"]], ["--heldout", path["two"]]):
        assert main([*words, *heldout]) == 0
    printed = capsys.readouterr()
    assert len(list(Path("compare").iterdir())) == 3
    assert printed.err.splitlines() == ["measuring samples.npy"] * 3


def test_held_out_images_that_are_training_images_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, others = noise_images(30, 0), noise_images(40, 1)
    some = torch.cat([others, train[:5]])
    path = saved_images(tmp_path, train=train, samples=train[:20], others=others, some=some, most=train[:9])
    words = ["compare", path["samples"], "--train", path["train"], "--samples", "20", "--out"]
    assert main([*words, str(tmp_path / "x"), "--heldout", path["most"]]) == 2
    assert "9 of its 9 images are training images" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "a"), "--heldout", path["some"]]) == 0
    said = capsys.readouterr().out
    assert f"Note: 5 of the 45 images of {path['some']} are training images, and were left out." in said
    assert main([*words, str(tmp_path / "b"), "--heldout", path["others"]]) == 0
    first, second = (pd.read_csv(tmp_path / name / "table.csv") for name in ("a", "b"))
    pd.testing.assert_frame_equal(first, second)


def test_a_null_that_looks_like_copies_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = noise_images(30, 0)
    near = train * 0.999  # the training images again, saved with a little loss
    path = saved_images(tmp_path, train=train, samples=noise_images(20, 3), near=near)
    words = ["--train", path["train"], "--heldout", path["near"], "--samples", "20", "--out", str(tmp_path / "out")]
    assert main(["compare", path["samples"], *words]) == 0
    said = capsys.readouterr().out
    assert "the null of f_mem is 1.000: 30 held-out images lie as near to training images as copies do" in said


def test_other_numbers_of_samples_than_in_the_metrics_are_explained(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", f"{run}@24", "--device", "cpu", "--out"]
    assert main([*words, str(tmp_path / "more"), "--samples", "150"]) == 0
    said = capsys.readouterr().out
    assert "f_mem here is of 150 samples, in a run's metrics.jsonl of 128: the first 128 are the same" in said
    (there,) = [row for row in RunDir(run).primary.read_rows() if row["step"] == 24]
    assert f"{there['f_mem']:.3f} [{there['f_mem_low']:.3f}, {there['f_mem_high']:.3f}] there." in said
    assert main([*words, str(tmp_path / "same"), "--samples", "128"]) == 0
    assert "metrics.jsonl" not in capsys.readouterr().out
    assert main([*words, str(tmp_path / "other"), "--samples", "150", "--k", "0.5"]) == 0
    assert "metrics.jsonl" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (["0.155"], "the other 0.155"),
        (["0.155", "0.155"], "the others 0.155 each"),
        (["0.100", "0.155"], "the others 0.100 to 0.155"),
    ],
)
def test_the_others_in_words(shares: list[str], words: str) -> None:
    assert others(shares) == words


def bad_words(run: Path, other: Path) -> list[tuple[list[str], str]]:
    return [
        ([f"{run}@7"], "the nearest saved are 4, 6, 11."),
        ([str(run), "--samples", "0"], "--samples: 0 is out of range"),
        ([str(run), "--k", "2"], "--k: 2.0 is out of range"),
        ([str(run), "--k", "null:1"], "k=null:1 is neither a number nor null:RATE"),
        ([str(run), "--k", "null:0.001"], "needs at least 1000 held-out images, and there are 500"),
        ([str(run), "--features", "lpips"], "lpips is no space of features"),
        ([str(run), "--features", "module:tests.helpers.networks:colour"], "these are gray"),
        ([str(run), "--threads", "0"], "--threads=0 is out of range"),
        ([str(run), "--device", "gpu"], "device=gpu"),
        ([str(run), str(run)], "is named twice"),
        ([str(run), "population"], "data=mixture only"),
        ([str(run), str(other)], "give --train IMAGES"),
        ([str(run), str(other), "--train", str(other)], "images of different shapes"),
        ([str(run), "--out", str(run)], "is no folder of a comparison"),
        (["nowhere@3"], "there is no nowhere"),
        ([str(run), "--out", str(other / "out")], "is a file where a directory is needed"),
    ]


@pytest.mark.parametrize("case", range(16))
def test_bad_input_writes_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(noise_images(9, 0), tmp_path / "samples.pt")
    before = sorted(run.parent.rglob("*"))
    words, sentence = bad_words(run, tmp_path / "samples.pt")[case]
    assert main(["compare", *words]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.startswith("diffmem: ")
    assert len(printed.err.splitlines()) == 1
    assert sorted(run.parent.rglob("*")) == before
    assert [file.name for file in tmp_path.iterdir()] == ["samples.pt"]


def test_without_pyarrow_nothing_is_drawn(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("diffmem.cli.compare.find_spec", lambda name: None)
    assert main(["compare", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'diffmem[compare]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_help_says_what_best_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--help"]) == 0
    assert re.search(r"@best is the lowest distance of quality", capsys.readouterr().out)


@pytest.mark.parametrize(("p", "words"), [(0.5, "p = 0.5"), (0.0123, "p = 0.012"), (1e-9, "p < 0.0001")])
def test_p_in_words(p: float, words: str) -> None:
    assert p_words(p) == words
