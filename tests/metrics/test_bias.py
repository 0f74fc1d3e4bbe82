"""p_train: a brute force, near copies, models whose value is known, and intervals that cover."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmem import rng
from diffmem.errors import InputError
from diffmem.metrics import bias
from diffmem.metrics.bias import Bias, columns
from diffmem.metrics.search import TrainingIndex


def normal(count: int, dim: int, *key: object) -> Tensor:
    return rng.normal((count, dim), *key)


def brute_force(samples: Tensor, train: Tensor, heldout: Tensor, draws: int) -> np.ndarray:
    """own in each draw [M, R], by differences in float64 and plain loops."""
    x, a, b = (images.flatten(1).double().numpy() for images in (samples, train, heldout))
    m = min(len(a), len(b) // 2)
    out = np.empty((len(x), draws))
    for r in range(draws):
        left = a[rng.permutation(len(a), "training draw", r)[:m]] if m < len(a) else a
        right = b[rng.permutation(len(b), "held-out draw", r)[:m]]
        for i, point in enumerate(x):
            near, far = (((side - point) ** 2).sum(1).min() for side in (left, right))
            out[i, r] = 1.0 if near < far else 0.5 if near == far else 0.0
    return out


@pytest.mark.parametrize(("n", "held"), [(3, 40), (20, 40), (33, 40), (7, 3)])
def test_equals_brute_force(n: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bias, "_TILE_VALUES", 256)  # several tiles of samples,
    monkeypatch.setattr(bias, "_IMAGES", 7)  # and of images
    train, heldout, samples = (
        normal(count, 12, name).view(-1, 3, 2, 2) for count, name in ((n, 0), (held, 1), (50, 2))
    )
    measured = Bias(TrainingIndex(train), heldout, draws=6)
    assert measured.m == min(n, held // 2)
    np.testing.assert_allclose(measured.own(samples), brute_force(samples, train, heldout, 6).mean(1), atol=1e-15)
    apart = brute_force(heldout, train, heldout, 6)
    for r in range(6):
        apart[rng.permutation(held, "held-out draw", r)[: measured.m], r] = np.nan
    assert measured.null.value == pytest.approx(np.nanmean(apart))


def test_near_copies_that_a_float64_product_cannot_tell_apart() -> None:
    """Far from their centre, the two nearest images differ from a sample by less than the product's rounding."""
    train = 1e4 * normal(4, 64, "train").double()
    heldout = torch.cat([train + 1e-7, 1e4 * normal(4, 64, "heldout").double()])
    for shift, expected in ((0.4e-7, 1.0), (0.6e-7, 0.0)):
        samples = train + shift
        own = Bias(TrainingIndex(train), heldout, draws=20).own(samples)
        truth = brute_force(samples, train, heldout, 20)
        np.testing.assert_array_equal(own, truth.mean(1))
        assert expected in truth[0]


def test_an_image_on_both_sides_is_a_tie_and_counts_a_half() -> None:
    train, heldout = normal(8, 5, "train"), normal(16, 5, "heldout")
    both = torch.cat([heldout[:1], train[1:]])
    own = Bias(TrainingIndex(both), heldout).own(heldout[:1] + 1e-3)
    there = np.mean([0 in rng.permutation(16, "held-out draw", r)[:8] for r in range(20)])
    assert own.tolist() == [pytest.approx(0.5 * there + 1 - there)]


def test_a_copier_has_one_and_a_copier_of_the_held_out_images_less_than_the_null() -> None:
    train, heldout = normal(30, 9, "train"), normal(100, 9, "heldout")
    measured = Bias(TrainingIndex(train), heldout)
    assert measured.own(train).tolist() == [1.0] * 30
    assert measured.own(heldout).mean() < measured.null.low
    row = columns(measured.own(train), measured.null)
    assert (row["p_train"], row["p_train_high"]) == (1.0, 1.0)
    assert row["p_train_null_high"] < row["p_train_low"] < 1.0


def test_duplicates_of_training_images_change_nothing() -> None:
    train, heldout, samples = (normal(count, 5, name) for count, name in ((12, 0), (40, 1), (30, 2)))
    once, twice = (Bias(TrainingIndex(images), heldout) for images in (train, torch.cat([train, train[:7]])))
    assert torch.equal(once.own(samples), twice.own(samples))
    assert once.null == twice.null


@pytest.mark.parametrize("n", [10, 300])
def test_a_model_of_the_same_law_has_the_expectation_one_half(n: int) -> None:
    """Over sets of images: 200 of them, each with its own training, held-out and generated points."""
    shares, nulls = [], []
    for one in range(200):
        train, heldout, samples = (normal(count, 4, one, name) for count, name in ((n, 0), (40, 1), (40, 2)))
        measured = Bias(TrainingIndex(train), heldout, draws=3)
        shares.append(float(measured.own(samples).mean()))
        nulls.append(measured.null.value)
    for values in (shares, nulls):
        assert abs(np.mean(values) - 0.5) < 4 * np.std(values) / math.sqrt(200)


@pytest.mark.parametrize("pull", [0.0, 0.1, 0.3, 0.97])
def test_the_interval_of_p_train_covers(pull: float) -> None:
    """Samples that lie part of the way to a training point; the truth is p_train of 20,000 samples."""
    train, heldout = normal(24, 6, "train"), normal(120, 6, "heldout")
    measured = Bias(TrainingIndex(train), heldout)

    def own(count: int, key: object) -> Tensor:
        copied = train[torch.from_numpy(rng.permutation(24 * (count // 24 + 1), key, "image")[:count] % 24)]
        return measured.own((1 - pull) * normal(count, 6, key, "noise") + pull * copied)

    truth = float(own(20_000, "truth").mean())
    pool = own(200 * 100, "samples").view(200, 100)
    rows = [columns(part, measured.null) for part in pool]
    covered = np.mean([row["p_train_low"] <= truth <= row["p_train_high"] for row in rows])
    assert covered > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 200), (truth, covered)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "held"), [(16, 100), (50, 100)])
def test_the_interval_of_the_null_covers_what_a_model_of_the_same_law_has(n: int, held: int) -> None:
    """Given the training and held-out images; the truth is own of 1,000 fresh points in 60 draws."""
    covered = []
    for one in range(200):
        train, heldout, fresh = (normal(c, 6, one, name) for c, name in ((n, 0), (held, 1), (1000, 2)))
        null = Bias(TrainingIndex(train), heldout).null
        truth = float(Bias(TrainingIndex(train), heldout, draws=60).own(fresh).mean())
        covered.append(null.low <= truth <= null.high)
    assert 0.95 - 4 * math.sqrt(0.95 * 0.05 / 200) < np.mean(covered), np.mean(covered)


@pytest.mark.parametrize(
    ("train", "heldout", "words"),
    [
        (normal(5, 4, 0), normal(1, 4, 1), "heldout has 1 images: p_train needs two or more"),
        (normal(5, 4, 0), normal(9, 3, 1), r"One held-out image has shape \(3,\) and one training image \(4,\)"),
    ],
)
def test_refusals_give_the_reason(train: Tensor, heldout: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Bias(TrainingIndex(train), heldout)


def test_samples_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"One sample has shape \(3,\)"):
        Bias(TrainingIndex(normal(5, 4, 0)), normal(9, 4, 1)).own(normal(2, 3, 2))
