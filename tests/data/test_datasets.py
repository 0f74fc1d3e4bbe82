"""Every data set: one fixed order, disjoint splits, centring, and refusals."""

import dataclasses
import hashlib
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem import data
from diffmem.config.data import DATA, DataConfig, DigitsData, FileData, MixtureData
from diffmem.config.options import build_variant, to_mapping
from diffmem.data import Dataset, load, outside_test, split
from diffmem.errors import InputError
from tests.helpers.image_files import SETS, small_sets


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DataConfig]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFMEM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield small_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(params=SETS)
def cfg(request: pytest.FixtureRequest, configs: dict[str, DataConfig]) -> DataConfig:
    return configs[request.param]


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def subsets(dataset: Dataset, cfg: DataConfig) -> list[DataConfig]:
    last = (dataset.count - dataset.test_count) // cfg.n
    return [dataclasses.replace(cfg, index=index) for index in range(min(last, 4))]


def test_subsets_and_test_are_disjoint_ranges_of_the_fixed_order(cfg: DataConfig) -> None:
    dataset = load(cfg)
    whole = dataset.read(0, dataset.count)
    assert len(rows(whole)) == dataset.count  # no two images are equal, so places can be told apart
    seen: set[bytes] = set()
    for chosen in subsets(dataset, cfg):
        parts = split(dataset, chosen)
        train = rows(parts.to_pixels(parts.train).round(decimals=4))
        assert len(train) == cfg.n
        assert not train & seen
        seen |= train
        start = chosen.index * cfg.n
        torch.testing.assert_close(parts.to_pixels(parts.train), whole[start : start + cfg.n])
        torch.testing.assert_close(parts.to_pixels(parts.test), whole[-dataset.test_count :])
    assert not seen & rows(parts.to_pixels(parts.test).round(decimals=4))


def test_order_and_checksum_do_not_depend_on_the_subset_or_the_loading(cfg: DataConfig) -> None:
    first = load(cfg)
    data._load.cache_clear()
    again = load(dataclasses.replace(cfg, n=4, index=1, scale=3.0))
    assert again is not first
    assert again.sha256 == first.sha256
    torch.testing.assert_close(again.read(0, again.count), first.read(0, first.count), rtol=0, atol=0)


def test_a_process_loads_a_set_once(cfg: DataConfig) -> None:
    assert load(cfg) is load(dataclasses.replace(cfg, n=4, index=2, scale=7.0))


def test_train_mean_is_one_number_a_channel_and_becomes_zero(cfg: DataConfig) -> None:
    dataset = load(cfg)
    for chosen in subsets(dataset, cfg):
        parts = split(dataset, chosen)
        assert parts.train.dtype == parts.test.dtype == parts.mean.dtype == torch.float32
        assert parts.scale == cfg.scale
        if cfg.name == "mixture":
            assert not parts.mean.any()
            continue
        pixels = dataset.read(chosen.index * cfg.n, (chosen.index + 1) * cfg.n).double()
        truth = pixels.transpose(0, 1).flatten(1).mean(dim=1)
        assert parts.mean.shape == (dataset.shape[0], 1, 1)
        torch.testing.assert_close(parts.mean.flatten().double(), truth, rtol=1e-6, atol=0)
        left = parts.train.double().transpose(0, 1).flatten(1).mean(dim=1)
        assert left.abs().max() < 1e-6 * cfg.scale


def test_an_automatic_scale_makes_the_training_pixels_vary_by_one(cfg: DataConfig) -> None:
    dataset = load(cfg)
    parts = split(dataset, dataclasses.replace(cfg, scale="auto"))
    assert float(parts.train.double().square().mean()) == pytest.approx(1, abs=1e-5)
    fixed = split(dataset, dataclasses.replace(cfg, scale=parts.scale))
    assert torch.equal(parts.train, fixed.train)
    assert torch.equal(parts.test, fixed.test)
    with pytest.raises(InputError, match="one flat colour"):
        split(
            dataclasses.replace(dataset, stored=np.zeros_like(dataset.stored)), dataclasses.replace(cfg, scale="auto")
        )


def test_model_space_is_centred_pixels_times_scale(cfg: DataConfig) -> None:
    dataset = load(cfg)
    unit, scaled = (split(dataset, dataclasses.replace(cfg, scale=scale)) for scale in (1.0, 5.0))
    torch.testing.assert_close(scaled.train, 5 * unit.train)
    torch.testing.assert_close(scaled.test, 5 * unit.test)
    torch.testing.assert_close(scaled.to_pixels(scaled.test), unit.to_pixels(unit.test))


def test_read_gives_the_slice_as_pixels(cfg: DataConfig) -> None:
    dataset = load(cfg)
    whole = dataset.read(0, dataset.count)
    assert whole.shape == (dataset.count, *dataset.shape) == (dataset.count, *cfg.shape)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(dataset.read(5, 11), whole[5:11], rtol=0, atol=0)
    if cfg.name != "mixture":
        assert whole.min() >= 0
        assert 0.5 < whole.max() <= 1


def test_read_hands_out_a_copy(cfg: DataConfig) -> None:
    dataset = load(cfg)
    before = dataset.read(0, 2)
    dataset.read(0, 2).zero_()
    torch.testing.assert_close(dataset.read(0, 2), before, rtol=0, atol=0)


def test_checksum_is_of_the_stored_bytes_in_order(cfg: DataConfig) -> None:
    dataset = load(cfg)
    assert dataset.sha256 == hashlib.sha256(dataset.stored.tobytes()).hexdigest()
    assert dataset.source
    assert dataset.licence


def test_outside_test_is_the_head_of_the_order(cfg: DataConfig) -> None:
    dataset = load(cfg)
    free = dataset.count - dataset.test_count
    torch.testing.assert_close(outside_test(dataset, 5), dataset.read(0, 5), rtol=0, atol=0)
    assert len(outside_test(dataset, dataset.count)) == free


def test_test_split_has_the_size_that_was_settled(cfg: DataConfig) -> None:
    dataset = load(cfg)
    expected = {"digits": 500, "mixture": 2048, "patches": 160}.get(cfg.name, dataset.count // 2)
    assert dataset.test_count == expected == len(split(dataset, cfg).test)


@settings(deadline=None)
@given(n=st.integers(2, 1400), index=st.integers(0, 20))
def test_a_subset_is_given_exactly_where_it_ends_before_the_test_split(n: int, index: int) -> None:
    cfg = DigitsData(n=n, index=index, scale=1.0, size=8, channels=1)
    dataset = load(cfg)
    if (index + 1) * n <= 1297:
        assert len(split(dataset, cfg).train) == n
        return
    with pytest.raises(InputError, match=rf"data\.n={n} .*data\.index={index} .*1297") as caught:
        split(dataset, cfg)
    largest = 1297 // (index + 1)
    assert (f"data.n={largest} or less" in str(caught.value)) == (largest >= 2)
    assert len(split(dataset, dataclasses.replace(cfg, n=largest)).train) == largest
    assert ("data.index=" in str(caught.value).partition(": use")[2]) == (n <= 1297)


def test_the_advice_for_the_mixture_is_an_even_number() -> None:
    cfg = MixtureData(n=65536, index=2, scale=1.0, dim=2, mu=1.0, sigma=1.0)
    with pytest.raises(InputError, match=r"use data\.n=21844 or less, or data\.index=0 or less"):
        split(load(cfg), cfg)


def test_the_order_of_digits_is_a_permutation_of_all_digits() -> None:
    from sklearn.datasets import load_digits

    dataset = load(DigitsData(n=2, index=0, scale=1.0, size=8, channels=1))
    whole = dataset.read(0, dataset.count)[:, 0].double() * 16
    original = torch.from_numpy(load_digits().images)
    assert sorted(whole.flatten(1).tolist()) == sorted(original.flatten(1).tolist())
    assert not torch.equal(whole, original)


def test_the_test_digits_are_a_fair_draw() -> None:
    # The mean ink of 500 of 1797 images differs from that of all by less than 4 standard errors.
    dataset = load(DigitsData(n=2, index=0, scale=1.0, size=8, channels=1))
    ink = dataset.read(0, dataset.count).flatten(1).mean(dim=1).double()
    error = ink.std() * math.sqrt((1 - 500 / 1797) / 500)
    assert abs(ink[-500:].mean() - ink.mean()) < 4 * error


def test_orders_are_the_same_on_every_machine() -> None:
    # Made once with this code: a changed order would silently change every stored run's subsets.
    digits = load(DigitsData(n=2, index=0, scale=1.0, size=8, channels=1))
    assert digits.sha256 == "35263e12d82c28ff6651a46806944b9ec9fe6da7aac0f70ca81abc502efd7b87"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 16}, r"data\.size=16 .*data\.size=8"),
        ({"channels": 3}, r"data\.channels=3 .*data\.channels=1"),
        ({"size": None}, r"data\.size=null"),
        ({"dim": 8}, r"data\.dim=8 does not apply to data=digits"),
        ({"root": "somewhere"}, r"data\.root=.*somewhere does not apply to data=digits"),
    ],
)
def test_options_that_do_not_fit_the_set_are_refused(changes: dict[str, object], message: str) -> None:
    mapping = {"name": "digits", "n": 64, "index": 0, "scale": 1.0, "size": 8, "channels": 1, **changes}
    with pytest.raises(InputError, match=message):
        load(build_variant(DATA, mapping, "data"))


@pytest.mark.parametrize("name", ["mixture", "fashion_mnist", "image_folder", "celeba"])
def test_other_sets_refuse_a_shape_they_do_not_have(name: str, configs: dict[str, DataConfig]) -> None:
    option, value = ("size", 31) if name in ("mixture", "fashion_mnist") else ("dim", 4)
    wrong = {**to_mapping(configs[name]), option: value}
    with pytest.raises(InputError, match=rf"data\.{option}={value} "):
        load(build_variant(DATA, wrong, "data"))


@pytest.mark.parametrize("name", DATA)
def test_the_shipped_config_holds_the_fields_that_apply(name: str) -> None:
    text = resources.files("diffmem.configs").joinpath("data", f"{name}.yaml").read_text()
    assert re.match(r"(#.*\n){2,}name: ", text)
    mapping = yaml.safe_load(text)
    cfg = build_variant(DATA, mapping, "data")
    assert cfg.name == name
    assert set(mapping) == set(to_mapping(cfg))
    assert set(mapping) > {"name", "n", "index", "scale"}
    assert ("root" in mapping) == (name not in ("digits", "mixture", "patches"))
    if name in ("digits", "mixture", "patches"):
        assert load(cfg).shape == cfg.shape
    elif name not in ("fashion_mnist", "orl_faces"):
        with pytest.raises(InputError, match=r"set data\.root"):
            load(cfg)


def test_a_relative_and_an_absolute_root_are_one_set(
    configs: dict[str, DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = configs["image_folder"]
    assert isinstance(cfg, FileData)
    assert cfg.root is not None
    monkeypatch.chdir(Path(cfg.root).parent)
    assert load(dataclasses.replace(cfg, root=Path(cfg.root).name)) is load(cfg)


def test_importing_the_package_does_not_import_pillow() -> None:
    code = "import sys, diffmem.data; print([m for m in ('PIL',) if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_mean_over_many_images_is_exact() -> None:
    # 0.1 in float32, summed 2e6 times in float32, drifts in the fourth digit; the double sum does not.
    images = torch.full((3000, 2, 16, 16), 0.1)
    images[:, 1] = 0.7
    mean = data.dataset.channel_mean(images)
    np.testing.assert_array_equal(mean.flatten().numpy(), np.array([0.1, 0.7], np.float32))
