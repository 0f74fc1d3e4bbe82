"""Keyed randomness: a function of (seed, purpose, step) and of nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem import rng


def test_generators_depend_on_every_part_of_their_key() -> None:
    draws = {
        key: torch.randn(4, generator=rng.generator(*key)).tolist()
        for key in [(0, "noise", 0), (1, "noise", 0), (0, "t", 0), (0, "noise", 1)]
    }
    again = torch.randn(4, generator=rng.generator(0, "noise", 0)).tolist()
    assert again == draws[0, "noise", 0]
    assert len({tuple(draw) for draw in draws.values()}) == len(draws)


def test_no_two_steps_of_a_purpose_share_a_stream() -> None:
    """torch's CPU generator reads 32 bits of a seed: a hashed step would collide among 200,000 (expected 5 times)."""
    seeds = {rng.generator(3, "noise", step).initial_seed() % 2**32 for step in range(200_000)}
    assert len(seeds) == 200_000


@given(rows=st.integers(1, 40), more=st.integers(0, 40), width=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_normal_is_prefix_stable(rows: int, more: int, width: int) -> None:
    long = rng.normal((rows + more, width), "purpose", 5)
    assert torch.equal(long[:rows], rng.normal((rows, width), "purpose", 5))


def test_normal_is_standard_normal() -> None:
    draw = rng.normal((100_000,), "moments").double()
    assert abs(float(draw.mean())) < 4 / 100_000**0.5
    assert abs(float(draw.var()) - 1) < 4 * (2 / 100_000) ** 0.5


@given(n=st.integers(2, 30), batch=st.integers(1, 30), seed=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_batches_are_permutations_laid_end_to_end(n: int, batch: int, seed: int) -> None:
    batch = min(n, batch)
    steps = 3 * n
    stream = torch.cat([rng.batches(seed, step, 1, n, batch)[0] for step in range(steps)])
    assert torch.equal(rng.batches(seed, n, 2 * n, n, batch).flatten(), stream[n * batch :])
    assert len(stream) == steps * batch
    epochs = stream[: len(stream) // n * n].view(-1, n)
    assert torch.equal(epochs.sort(1).values, torch.arange(n).expand(len(epochs), n))


@pytest.mark.parametrize(
    ("n", "batch", "share", "twice"), [(48, 32, 1 / 3, 16 * 16 / 48), (64, 32, 0, 0), (30, 30, 0, 0), (10, 4, 0.2, 0.4)]
)
def test_only_a_batch_over_two_epochs_holds_an_image_twice(n: int, batch: int, share: float, twice: float) -> None:
    """10 images in batches of 4: 0-3, 4-7, 8-1, 2-5, 6-9, so that one in five has 2 and 2, and 2 x 2 / 10 twice."""
    steps = 3000
    first = np.arange(steps) * batch % n
    over = first + batch > n
    assert over.mean() == pytest.approx(share)
    repeats = np.array([batch - len(images.unique()) for images in rng.batches(0, 0, steps, n, batch)])
    assert (repeats[~over] == 0).all()
    if twice:
        assert repeats[over].mean() == pytest.approx(twice, abs=4 * repeats[over].std() / over.sum() ** 0.5)


def test_batches_do_not_depend_on_history() -> None:
    steps = [7, 0, 1000, 3, 7]
    batches = [rng.batches(0, step, 1, 10, 4)[0] for step in steps]
    assert torch.equal(batches[0], batches[-1])
    assert not all(torch.equal(batches[0], batch) for batch in batches)


@pytest.mark.parametrize("n", [1, 2, 100])
def test_permutation_is_one(n: int) -> None:
    assert np.array_equal(np.sort(rng.permutation(n, "digits")), np.arange(n))
