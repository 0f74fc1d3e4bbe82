"""Measures of single classes: they add up to those of all samples, and copies of any training image count."""

import torch

from diffmem.definitions import is_quality
from diffmem.metrics.classes import Classes
from diffmem.metrics.features.memorized import InFeatures
from diffmem.metrics.features.pixels import pixels as in_pixels
from diffmem.metrics.memorization import memorized_fraction
from diffmem.metrics.quality import Quality
from diffmem.metrics.search import TrainingIndex

DRAWS = torch.Generator().manual_seed(0)
TRAIN, TEST = torch.rand(30, 1, 4, 4, generator=DRAWS), torch.rand(60, 1, 4, 4, generator=DRAWS)
LABELS = torch.tensor([0] * 20 + [1] * 17 + [2] * 3)
SAMPLES = torch.rand(40, 1, 4, 4, generator=DRAWS)
SAMPLES[:5] = TRAIN[25:]  # copies under label 0, of images of any label
HELD_OUT = torch.arange(60) % 3
OWN = torch.linspace(0, 1, 40, dtype=torch.float64)


def test_classes_add_up_and_rare_ones_are_left_out() -> None:
    nearest = TrainingIndex(TRAIN).nearest_two(SAMPLES)
    columns = Classes.of(LABELS, HELD_OUT, TEST, []).columns(nearest, OWN, SAMPLES, 1 / 3)
    assert {name.split("@")[1] for name in columns} == {"class0", "class1"}
    assert (columns["f_mem_count@class0"], columns["f_mem_total@class0"], columns["f_mem@class0"]) == (5, 20, 0.25)
    assert columns["f_mem_count@class1"] == 0
    assert columns["p_train@class0"] == float(OWN[:20].mean())
    alone = Quality.against(TEST[HELD_OUT == 1], [])(SAMPLES[20:37])
    assert columns["mmd_pixels@class1"] == alone["mmd_pixels"]
    assert not any(is_quality(name) for name in columns), "no class is taken for a measure of quality of its own"


def test_quality_is_of_the_first_samples_alone() -> None:
    nearest = TrainingIndex(TRAIN).nearest_two(SAMPLES)
    made = Classes.of(LABELS, HELD_OUT, TEST, [])
    columns = made.columns(nearest, OWN, SAMPLES[:22], 1 / 3)
    assert columns["f_mem_total@class1"] == 17
    assert "mmd_pixels@class0" in columns
    assert "mmd_pixels@class1" not in columns


def test_equal_held_out_images_of_a_class_have_no_kernel_distance_and_stop_nothing() -> None:
    test = TEST.clone()
    test[HELD_OUT == 0] = 0.5
    made = Classes.of(LABELS, HELD_OUT, test, [])
    assert set(made.quality) == {1}


def test_f_mem_in_the_pixels_as_features_is_f_mem() -> None:
    """With k = null:RATE too, whose threshold then is that of the pixels."""
    index = TrainingIndex(TRAIN)
    nearest = index.nearest_two(SAMPLES)
    for k in (1 / 3, "null:0.1"):
        found = InFeatures(in_pixels(TRAIN), index, TEST, k)
        fraction = memorized_fraction(nearest.d1, nearest.d2, found.k)
        columns = found.columns(SAMPLES)
        assert (columns["f_mem_features_count"], columns["f_mem_features_total"]) == (fraction.count, fraction.total)
    assert found.shared["f_mem_features_null"] <= 0.1
    assert found.shared["f_mem_features_threshold"] == found.k
