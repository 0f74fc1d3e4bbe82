"""Names of the study's folders, read from the right."""

from pathlib import Path

import pytest

from diffmem.errors import InputError
from diffmem.study_folder import StudyFolder, parse


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "CelebA32_1024_32_SGD_Momentum_512_0.0100_index0",
            StudyFolder("CelebA", 32, 1024, 32, "SGD_Momentum", 512, 0.01, 0, None),
        ),
        (
            "My_9_1_set64_128_8_Adam_128_0.0001_index3_t50",
            StudyFolder("My_9_1_set", 64, 128, 8, "Adam", 128, 1e-4, 3, 50),
        ),
    ],
)
def test_names_hold_the_settings(name: str, expected: StudyFolder) -> None:
    assert parse(Path("Saves") / name) == expected


@pytest.mark.parametrize("name", ["mine", "CelebA32_1024_32_SGD_512_0.0100", "CelebA_1024_32_SGD_512_0.0100_index0"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"CelebA32_1024_32_SGD_Momentum_512_0.0100_index0 .* rename it"):
        parse(Path(name))
