"""The search that knows mirror images, against a brute force over both views."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem.errors import InputError
from diffmem.metrics import bias
from diffmem.metrics.mirrored import MirroredIndex, training_index
from diffmem.metrics.search import TrainingIndex


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(1, 9))
def test_the_two_nearest_are_those_of_both_views(seed: int, n: int, count: int) -> None:
    random = torch.Generator().manual_seed(seed)
    train, samples = (torch.rand(m, 1, 3, 4, generator=random) for m in (n, count))
    samples[::2] = train[torch.arange(len(samples[::2])) % n].flip(-1)  # mirrored copies
    found = MirroredIndex(train).nearest_two(samples)
    views = [train, train.flip(-1)]
    distances = torch.stack([(samples[:, None] - view[None]).double().flatten(2).norm(dim=2) for view in views])
    nearest = distances.amin(0).sort(dim=1)
    torch.testing.assert_close(found.d1, nearest.values[:, 0])
    torch.testing.assert_close(found.d2, nearest.values[:, 1])
    assert torch.equal(found.i1, nearest.indices[:, 0])
    assert torch.equal(found.i2, nearest.indices[:, 1])


def test_a_mirrored_copy_is_a_copy_and_a_symmetric_image_has_no_second() -> None:
    train = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    train[1] = (train[1] + train[1].flip(-1)) / 2
    mirrored = train.flip(-1)
    plain, both = (training_index(train, flips=flips).nearest_two(mirrored) for flips in (False, True))
    assert float(plain.d1.max()) > 0
    assert float(both.d1.max()) == 0
    assert both.i1.tolist() == list(range(6))
    assert float(both.d2.min()) > 0


def test_of_images_that_mirror_one_another_the_first_takes_part() -> None:
    train = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    train[2], train[3] = train[0].flip(-1), train[0]
    index = MirroredIndex(train)
    assert (index.distinct.tolist(), index.duplicates) == ([0, 1], 2)
    assert TrainingIndex(train).duplicates == 1
    with pytest.raises(InputError, match="4 images and 1 that no mirror makes alike"):
        MirroredIndex(torch.stack([train[0], train[0].flip(-1)] * 2))


def test_mirroring_all_samples_changes_neither_distances_nor_p_train() -> None:
    random = torch.Generator().manual_seed(1)
    train, heldout, samples = (torch.rand(m, 1, 3, 4, generator=random) for m in (8, 12, 20))
    index = MirroredIndex(train)
    both = bias.Bias(index, heldout)
    assert torch.equal(both.own(samples), both.own(samples.flip(-1)))
    np.testing.assert_array_equal(index.nearest_two(samples).d1, index.nearest_two(samples.flip(-1)).d1)
    closer = [
        min(float((sample - view).norm()) for image in images for view in (image, image.flip(-1)))
        for sample in samples
        for images in (train[:0], train)
        if len(images)
    ]
    np.testing.assert_allclose(index.nearest_two(samples).d1, closer, rtol=1e-6)
