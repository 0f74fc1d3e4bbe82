"""Data sets that the library `datasets` reads, from folders on this machine: no test asks a hub."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffmem.config.data import HubData
from diffmem.data import Dataset, hub, load
from diffmem.errors import InputError
from tests.helpers.image_files import random_images, write_hub

IMAGES = random_images(12, 8, 8, 3, seed=10)


def hub_data(root: Path | str, **options: Any) -> HubData:
    whole = {"size": 8, "channels": 3, "split": "train", "column": None, "label_column": None, **options}
    return HubData(n=2, index=0, scale=1.0, root=str(root), **whole)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'diffmem\[hub\]'"):
        hub.load(hub_data("owner/name"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("datasets")
    return write_hub(tmp_path_factory.mktemp("hub") / "set", IMAGES)


class TestWithTheLibrary:
    @pytest.fixture(autouse=True)
    def library(self) -> None:
        pytest.importorskip("datasets")

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))

    def test_rows_come_as_they_are_with_their_labels(self, root: Path) -> None:
        dataset = load(hub_data(root))
        torch.testing.assert_close(dataset.read(0, 12), torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255)
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [number % 3 for number in range(12)]
        assert dataset.classes == ("a", "b", "c")
        again = load(hub_data(root, column="picture", label_column="kind", order="shuffled"))
        assert sorted(i.tobytes() for i in again.stored) == sorted(i.tobytes() for i in dataset.stored)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"column": "words"}, r"data\.column=words, which is no column of images: .* has picture of images"),
            ({"label_column": "words"}, r"data\.label_column=words is no column of class labels: .* has kind"),
            ({"split": "test"}, r"data\.split=test can't be had \(Unknown split"),
        ],
    )
    def test_what_the_set_does_not_have_is_named(self, root: Path, options: dict[str, str], message: str) -> None:
        with pytest.raises(InputError, match=message):
            load(hub_data(root, **options))

    def test_no_network_is_said_at_once(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import datasets
        from huggingface_hub import HfApi

        def unreachable(*_: Any, **__: Any) -> None:
            raise ConnectionError("no route")

        monkeypatch.setattr(HfApi, "dataset_info", unreachable)
        before = datasets.config.HF_HUB_OFFLINE
        with pytest.raises(InputError, match=r"data\.root=nobody/nothing@v1 is not in the cache .*can't be reached"):
            hub.load(hub_data("nobody/nothing@v1"))
        assert before == datasets.config.HF_HUB_OFFLINE

    def test_a_cached_set_needs_no_network(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets

        asked: list[tuple[str, bool]] = []

        def cached(name: str, split: str, revision: str | None) -> Any:
            asked.append((f"{name}@{revision}", datasets.config.HF_HUB_OFFLINE))
            return whole

        whole = datasets.load_dataset(str(root), split="train")
        monkeypatch.setattr(datasets, "load_dataset", cached)
        monkeypatch.setattr(hub, "_ask", lambda name, revision: (False, None, None))
        dataset: Dataset = hub.load(hub_data("owner/name@v1"))
        np.testing.assert_array_equal(dataset.stored, IMAGES.transpose(0, 3, 1, 2))
        assert asked == [("owner/name@v1", True)]
