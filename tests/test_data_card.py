"""The card of a data set: its numbers against plain computations, and the verb."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from diffmem.cli.main import main
from diffmem.config.compose import compose_data
from diffmem.data import load, split
from diffmem.data_card import data_card, spectrum
from diffmem.errors import InputError
from tests.helpers.image_files import random_images, write_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("shape", [(40, 1, 3, 4), (7, 1, 3, 4)], ids=["many images", "few images"])
def test_the_spectrum_is_that_of_the_covariance(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    truth = np.linalg.eigvalsh(np.cov(images.flatten(1).double().numpy().T))[::-1]
    found = spectrum(images)
    assert len(found) == min(shape[0] - 1, 12)
    np.testing.assert_allclose(found, truth[: len(found)], rtol=1e-8)


def test_the_card_of_digits_says_what_a_run_starts_from() -> None:
    cfg = compose_data(["data=digits", "data.n=32"])
    card = data_card(cfg)
    parts = split(load(cfg), cfg)
    distances = torch.cdist(parts.test.flatten(1).double(), parts.train.flatten(1).double()).sort(dim=1).values
    assert card.null.f_mem[0] == float((distances[:, 0] / distances[:, 1] < 1 / 3).double().mean())
    assert (card.null.n, card.null.held_out) == (32, 500)
    assert sum(card.classes.values()) == card.count == 1797
    assert not card.exact
    assert card.spectrum.sum() * card.effective_dimension >= card.spectrum.sum()
    assert card.directions(0.9) < card.directions(0.99) < 64


def test_the_verb_writes_a_figure_and_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = random_images(12, 6, 6)
    images[9] = images[2]
    images[7] = np.clip(images[1].astype(int) + 1, 0, 255)
    np.save(tmp_path / "images.npy", images)
    out = tmp_path / "card"
    assert main(["data", str(tmp_path / "images.npy"), "data.n=4", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "12 of shape 1x6x6, the last 6 held out" in printed
    assert "copies: 1 exact [image 9 of 2]; 1 near [image 7 of 1]" in printed
    assert {path.name for path in out.iterdir()} == {
        "array_copies.csv",
        *(f"array.{e}" for e in ("png", "svg", "csv", "json")),
    }
    facts = json.loads((out / "array.json").read_text())
    assert (facts["copies_exact"], facts["copies_near"], facts["shape"]) == (1, 1, [1, 6, 6])
    copies = pd.read_csv(out / "array_copies.csv")
    assert copies[["kind", "copy", "of"]].to_numpy().tolist() == [["exact", 9, 2], ["near", 7, 1]]
    assert pd.read_csv(out / "array.csv")["share"].iloc[-1] == pytest.approx(1)


def test_a_folder_is_a_data_set_and_its_images_may_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folder(tmp_path / "photos", random_images(6, 8, 8, 3))
    words = ["data", str(root), "data.n=2", "data.size=8", "--out", str(tmp_path / "card")]
    assert main([*words, "--without-images"]) == 0
    assert "image_folder: 6 of shape 3x8x8" in capsys.readouterr().out
    cfg = compose_data(["data=image_folder", f"data.root={root}", "data.size=8", "data.n=2"])
    card = data_card(cfg, pictures=False)
    assert len(card.examples) == len(card.pictures) == 0


def test_points_have_a_card_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffmem.data.mixture.TRAIN_COUNT", 100)
    monkeypatch.setattr("diffmem.data.mixture.TEST_COUNT", 40)
    assert main(["data", "mixture", "data.n=8", "data.mu=1.5", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "mixture.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "DATA=nothing is no data set, folder or array: give one of array, celeba"),
        (["digits", "data.n=1298"], "data.n=1298"),
        (["digits", "data.n=8,16"], "names several values"),
        (["digits", "model=unet"], "model is no option"),
    ],
)
def test_bad_input_is_a_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_card_is_of_one_data_set() -> None:
    with pytest.raises(InputError, match="names several values"):
        compose_data(["data=digits,mixture"])
