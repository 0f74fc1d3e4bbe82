"""`diffmem compare`: the files it writes, the same bytes for the same inputs, and one sentence for bad input."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from diffmem.analysis.pages.compare_words import p_words
from diffmem.cli.main import main
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


def bad_words(run: Path, other: Path) -> list[tuple[list[str], str]]:
    return [
        ([f"{run}@7"], "the nearest saved are 4, 6, 11."),
        ([str(run), "--samples", "0"], "--samples=0"),
        ([str(run), "--k", "2"], "--k=2.0 is out of range"),
        ([str(run), "--device", "gpu"], "device=gpu"),
        ([str(run), str(run)], "is named twice"),
        ([str(run), "population"], "data=mixture only"),
        ([str(run), str(other)], "give --train IMAGES"),
        ([str(run), str(other), "--train", str(other)], "images of different shapes"),
        ([str(run), "--out", str(run)], "is no folder of a comparison"),
        (["nowhere@3"], "there is no nowhere"),
        ([str(run), "--out", str(other / "out")], "is a file where a directory is needed"),
    ]


@pytest.mark.parametrize("case", range(11))
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
    assert re.search(r"@best is the lowest Frechet distance among the checkpoints before", capsys.readouterr().out)


@pytest.mark.parametrize(("p", "words"), [(0.5, "p = 0.5"), (0.0123, "p = 0.012"), (1e-9, "p < 0.0001")])
def test_p_in_words(p: float, words: str) -> None:
    assert p_words(p) == words
