"""The two nearest training images are those of a float64 brute force, whatever is stored and however it is tiled."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics import search
from diffmem.metrics.search import NearestTwo, TrainingIndex, duplicates, nearest_two


def brute_force(samples: Tensor, train: Tensor) -> NearestTwo:
    """Every distance in float64; duplicates of the first are set aside before the second is looked for."""
    x, a = samples.flatten(1).double().numpy(), train.flatten(1).double().numpy()
    distance = np.sqrt(np.stack([((point - a) ** 2).sum(1) for point in x]))
    first = distance.argmin(1)
    same = np.stack([(a == a[place]).all(1) for place in first])
    others = np.where(same, math.inf, distance)
    second = others.argmin(1)
    found = distance.min(1), others.min(1), first, second
    return NearestTwo(*(torch.from_numpy(values) for values in found))


def assert_equal(found: NearestTwo, expected: NearestTwo) -> None:
    assert torch.equal(found.i1, expected.i1)
    assert torch.equal(found.i2, expected.i2)
    for value, truth in ((found.d1, expected.d1), (found.d2, expected.d2)):
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, truth, rtol=1e-12, atol=0.0)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Random images with exact copies, copies 1e-4 away, outliers, large offsets and any scale; and a tile size."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = draw(st.sampled_from([(1,), (3,), (1, 4, 4), (3, 20, 20)]))
    n, m = draw(st.integers(2, 60)), draw(st.integers(1, 40))
    train = torch.randn(n, *shape, generator=g)
    copies = torch.randint(n, (draw(st.integers(0, 10)),), generator=g)
    near = torch.randint(n, (draw(st.integers(0, 10)),), generator=g)
    train = torch.cat([train, train[copies], train[near] + 1e-4 * torch.randn(len(near), *shape, generator=g)])
    train = train[torch.randperm(len(train), generator=g)]
    samples = torch.randn(m, *shape, generator=g)
    picked = torch.randint(len(train), (m // 2,), generator=g)
    samples[: m // 2] = train[picked] + draw(st.sampled_from([0.0, 1e-5, 1e-4, 0.1])) * samples[: m // 2]
    samples[-1] *= draw(st.sampled_from([1.0, 1e3]))
    train[0] *= draw(st.sampled_from([1.0, 1e3]))
    offset, scale = draw(st.sampled_from([0.0, 100.0])), draw(st.sampled_from([1.0, 1e-25, 1e15]))
    return (samples + offset) * scale, (train + offset) * scale, draw(st.sampled_from([5, 16, 64]))


@given(problems())
@settings(max_examples=80, deadline=None)
def test_equals_brute_force(problem: tuple[Tensor, Tensor, int]) -> None:
    samples, train, tile = problem
    if len(train.flatten(1).unique(dim=0)) < 2:
        return
    assert_equal(nearest_two(samples, train, tile=tile), brute_force(samples, train))


@given(st.integers(0, 2**31), st.integers(2, 50), st.sampled_from([5, 16, 64]))
@settings(max_examples=60, deadline=None)
def test_ties_go_to_the_lowest_index(seed: int, n: int, tile: int) -> None:
    """On a coarse grid of whole numbers distances tie often and exactly, duplicates abound and -0.0 meets 0.0."""
    g = torch.Generator().manual_seed(seed)
    train = torch.randint(-1, 2, (n, 2), generator=g).float() * (1 - 2 * torch.randint(2, (n, 1), generator=g))
    samples = torch.randint(-2, 3, (20, 2), generator=g).float()
    distinct = len((train + 0.0).unique(dim=0))
    if distinct < 2:
        return
    assert_equal(nearest_two(samples, train, tile=tile), brute_force(samples, train))
    assert duplicates(train) == TrainingIndex(train).duplicates == n - distinct


def test_near_copies_that_a_float32_product_cannot_tell_apart() -> None:
    g = torch.Generator().manual_seed(1)
    base = torch.rand(1, 1, 32, 32, generator=g)
    train = base + 1e-6 * torch.randn(300, 1, 32, 32, generator=g)  # one cluster, far from zero
    train = torch.cat([train, torch.rand(300, 1, 32, 32, generator=g)])
    samples = train[:100] + 1e-7 * torch.randn(100, 1, 32, 32, generator=g)
    expected = brute_force(samples, train)
    assert_equal(nearest_two(samples, train), expected)
    squares = (train**2).flatten(1).sum(1) - 2 * samples.flatten(1) @ train.flatten(1).T
    assert (squares.argmin(1) != expected.i1).any()  # the plain product does fail here


def test_far_samples_of_an_untrained_model() -> None:
    g = torch.Generator().manual_seed(2)
    train = torch.rand(500, 1, 16, 16, generator=g) - 0.5
    samples = 157 * torch.randn(50, 1, 16, 16, generator=g)
    assert_equal(nearest_two(samples, train), brute_force(samples, train))
    train = 1e-6 * train
    for scale in (1e13, 1e34):  # every distance is the same but for rounding, and a float32 product overflows
        found, expected = nearest_two(scale * samples, train), brute_force(scale * samples, train)
        torch.testing.assert_close((found.d1, found.d2), (expected.d1, expected.d2), rtol=1e-12, atol=0.0)


def test_the_shortlist_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far from zero the images lie and though each tile comes nearer than the last: a few pairs a sample."""
    pairs = 0

    def count(points: Tensor, images: Tensor, rows: Tensor, columns: Tensor, scale: float) -> Tensor:
        nonlocal pairs
        pairs += len(rows)
        return exact(points, images, rows, columns, scale)

    exact = search._exact
    monkeypatch.setattr(search, "_exact", count)
    g = torch.Generator().manual_seed(8)
    train, samples = torch.rand(1000, 64, generator=g), torch.rand(50, 64, generator=g)
    train = train[(train - 0.5).norm(dim=1).argsort(descending=True)] + 1000
    assert_equal(nearest_two(samples + 1000, train, tile=100), brute_force(samples + 1000, train))
    assert pairs < 30 * len(samples)  # ten tiles, where a tile costs two trials and what beats them


@pytest.mark.parametrize("setting", ["high", "medium"])
def test_exact_under_reduced_precision_settings(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 or TF32 products, asked for elsewhere in the process, neither reach the search nor are unset by it."""
    g = torch.Generator().manual_seed(3)
    train, samples = torch.rand(256, 64, generator=g), torch.rand(64, 64, generator=g)
    during: list[set[str]] = []

    def watch(*args: Any) -> None:
        during.append(product_precision())
        update(*args)

    update = search._update
    monkeypatch.setattr(search, "_update", watch)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting)
    try:
        asked = product_precision()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = nearest_two(samples, train)
        assert product_precision() == asked
    finally:
        torch.set_float32_matmul_precision(before)
    assert during
    assert all(seen <= {"ieee", "highest"} for seen in during)
    assert_equal(found, brute_force(samples, train))


def product_precision() -> set[str]:
    """What float32 products are allowed to be, on the GPU and on the CPU."""
    backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    modern = {backend.fp32_precision for backend in backends if hasattr(backend, "fp32_precision")}
    return modern or {torch.get_float32_matmul_precision()}


def test_images_with_one_hash_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "hash", lambda row: 0, raising=False)
    train = torch.eye(6)[[0, 1, 0, 2, 1, 3]]
    assert duplicates(train) == 2
    assert_equal(nearest_two(torch.eye(6), train), brute_force(torch.eye(6), train))


def convert(name: str, images: Tensor, folder: Path) -> Tensor | np.ndarray:
    if name == "memory map":
        np.save(folder / "images.npy", images.numpy())
        return np.load(folder / "images.npy", mmap_mode="r")
    if name == "bytes":
        return (images * 255).to(torch.uint8).numpy()
    return {"float64": images.double(), "float16": images.half(), "bfloat16": images.bfloat16()}[name]


@pytest.mark.parametrize("name", ["memory map", "bytes", "float64", "float16", "bfloat16"])
def test_any_storage_of_the_images(name: str, tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(4)
    train = torch.rand(100, 1, 6, 6, generator=g)
    train = torch.cat([train, train[[3, 50]]])
    samples = convert(name, torch.rand(30, 1, 6, 6, generator=g), tmp_path)
    stored = convert(name, train, tmp_path)
    as_tensor = stored if isinstance(stored, Tensor) else torch.from_numpy(np.array(stored))
    points = samples if isinstance(samples, Tensor) else torch.from_numpy(np.array(samples))
    assert_equal(nearest_two(samples, stored, tile=16), brute_force(points, as_tensor))


def test_float64_images_closer_than_float32_can_say() -> None:
    g = torch.Generator().manual_seed(5)
    train = torch.rand(1, 9, generator=g).double() + 1e-9 * torch.rand(50, 9, generator=g).double()
    samples = train[:10] + 1e-12
    assert duplicates(train) == 0
    assert_equal(nearest_two(samples, train), brute_force(samples, train))


def test_an_index_serves_many_sets_of_samples() -> None:
    g = torch.Generator().manual_seed(6)
    train = torch.rand(40, 1, 4, 4, generator=g)
    index = TrainingIndex(train, tile=8)
    for count in (1, 20):
        samples = torch.rand(count, 1, 4, 4, generator=g)
        assert_equal(index.nearest_two(samples), brute_force(samples, train))


def test_memory_is_bounded_by_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor along the way is larger than a tile, even where every image is on every shortlist."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor) and out.untyped_storage().data_ptr() not in inputs:
                largest = max(largest, out.untyped_storage().nbytes())
            return out

    monkeypatch.setattr(search, "_PAIR_VALUES", 2**10)
    train, samples = torch.rand(96, 64), 1e20 * torch.rand(64, 64)
    inputs = {train.untyped_storage().data_ptr(), samples.untyped_storage().data_ptr()}
    with Watch():
        nearest_two(samples, train, tile=32)
    assert largest <= 8 * max(2 * 32 * 64, 2 * 32 * 32, 2 * 96)  # two trials a row, pairs of places, a number an image


@pytest.mark.parametrize(
    ("samples", "train", "words"),
    [
        (torch.zeros(2, 4), torch.ones(3, 4), "3 images and 1 distinct"),
        (torch.zeros(2, 4), torch.ones(1, 4), "1 images and 1 distinct"),
        (torch.zeros(0, 4), torch.eye(4), "no samples"),
        (torch.zeros(2, 4), torch.zeros(0, 4), "no training images"),
        (torch.tensor([[1.0, math.nan], [0.0, 0.0], [math.inf, 0.0]]), torch.eye(2), "2 of 3 samples hold NaN"),
        (torch.zeros(2, 2), torch.tensor([[1.0, math.nan], [0.0, 0.0]]), "1 of 2 training images hold NaN"),
        (torch.tensor([[1e200, 0.0], [0.0, 0.0]], dtype=torch.float64), torch.eye(2), "1 of 2 samples are too far"),
        (torch.zeros(2, 1, 2, 2), torch.eye(4), r"\(1, 2, 2\).*\(4,\)"),
    ],
)
def test_refusals_give_the_reason(samples: Tensor, train: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        nearest_two(samples, train)
