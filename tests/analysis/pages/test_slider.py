"""What the slider moves: the strip holds every image, and each place of the slider says what the tables say."""

import base64
import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffmem.analysis.pages import slider
from tests.helpers.pages import written
from tests.helpers.picture_tables import STEPS, family, films

PER_STEP = ("steps", "samples", "nearest", "ratio")


def picture(data_url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data_url.split(",")[1])))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_strip_holds_every_image_pixel_for_pixel(channels: int) -> None:
    one = films(channels=channels)[0]
    rows, times = family(ns=(32,))
    (shown,) = slider.slider([one], rows, times)["films"]
    strip = np.asarray(picture(shown["strip"])).reshape(len(STEPS), 8, 12, 8, channels)  # [S, H, 2m, W, C]
    np.testing.assert_array_equal(strip.transpose(0, 2, 4, 1, 3), np.concatenate([one.samples, one.nearest], axis=1))
    assert (shown["width"], shown["height"], shown["count"], shown["checkpoints"]) == (48, 48, 6, len(STEPS))


def test_large_images_are_made_small() -> None:
    one = films((32,), size=100, count=2)[0]
    (shown,) = slider.slider([one], *family(ns=(32,)))["films"]
    assert picture(shown["strip"]).size == (4 * 50, len(STEPS) * 50)
    assert (shown["width"], shown["height"]) == (64, 64)


def test_every_place_of_the_slider_says_what_the_tables_say() -> None:
    rows, times = family(ns=(32, 1024))
    made = slider.slider(films(), rows, times)
    assert made["labels"] == ["step", "step/n", "f_mem", "fd_pixels"]
    copying = {row["run"]: row["tau_mem"] for row in times.to_dict("records")}  # n = 1024 does not come to it
    for place, step in enumerate(STEPS):
        late = sum(step >= tau for tau in copying.values())
        assert made["data"]["places"][place] == f"step {step:,}: {late} of 2 runs copying"
        for one, moving in zip(films(), made["data"]["films"], strict=True):
            row = rows[(rows["run"] == one.run) & (rows["step"] == step)].iloc[0]
            frame = moving["frames"][moving["rows"][place]]
            last = " (last)" if step == STEPS[-1] else ""
            assert frame["values"][0] == f"{step:,}{last}"
            assert float(frame["values"][1].replace(",", "")) == pytest.approx(step / one.n, rel=0.01)
            assert frame["values"][2:] == [f"{row['f_mem']:.3f}", f"{row['fd_pixels']:.3g}"]
            assert frame["copies"] == (one.ratio[place] < 1 / 3).tolist()
    spread = rows.pivot(index="step", columns="run", values="f_mem").std(axis=1)
    assert spread[STEPS[made["start"]]] == spread.max()


def test_a_run_shows_its_checkpoint_nearest_in_log_step() -> None:
    assert slider.nearest_rows(np.array([0, 10, 100, 1000]), [0, 3, 31, 34, 5000]) == [0, 1, 1, 2, 3]
    short = dataclasses.replace(films()[0], **{name: getattr(films()[0], name)[:5] for name in PER_STEP})
    moving = slider.slider([short, films()[1]], *family(ns=(32, 1024)))["data"]["films"]
    assert moving[0]["rows"] == [0, 1, 2, 3, *[4] * (len(STEPS) - 4)]
    assert moving[0]["frames"][4]["values"][0] == "119 (last)"


@pytest.mark.parametrize(
    ("gen", "mem", "phases"),
    [
        (("reached", 100.0), ("reached", 1000.0), ["too early", "good", "copying"]),
        (("reached", 100.0), ("right", np.nan), ["too early", "good", "good"]),
        (("left", np.nan), ("reached", 1000.0), ["good", "good", "copying"]),
        (("refused", np.nan), ("reached", 1000.0), ["", "", "copying"]),
        (("reached", 100.0), (None, np.nan), ["", "", ""]),
    ],
)
def test_phases(gen: tuple[Any, float], mem: tuple[Any, float], phases: list[str]) -> None:
    times = {"tau_gen_status": gen[0], "tau_gen": gen[1], "tau_mem_status": mem[0], "tau_mem": mem[1]}
    assert [slider.phase(step, times) for step in (50, 100, 1000)] == phases


def test_between_bias_and_copies_samples_lean() -> None:
    times = {"tau_gen_status": "reached", "tau_gen": 100.0, "tau_mem_status": "reached", "tau_mem": 1000.0}
    times |= {"tau_bias_status": "reached", "tau_bias": 300.0}
    assert [slider.phase(step, times) for step in (50, 100, 300, 1000)] == ["too early", "good", "leaning", "copying"]


def test_what_was_not_measured_is_not_said() -> None:
    rows, times = family(ns=(32,))
    bare = slider.slider(films((32,)), rows[["run", "n", "step"]], times[["run", "n"]])
    assert bare["labels"] == ["step", "step/n"]
    assert bare["data"]["places"][-1] == "step 6,000"
    gaps = rows.assign(f_mem=rows["f_mem"].where(rows["step"] != 50))
    assert slider.slider(films((32,)), gaps, times)["data"]["films"][0]["frames"][1]["values"][2] == "–"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3)])
def test_twelve_runs_of_thirty_checkpoints_stay_under_15_mb(size: int, channels: int, tmp_path: Path) -> None:
    """Images of noise alone, which no format makes smaller than they are."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, channels, size, size), dtype=np.uint8)
    steps = np.arange(30) * 100
    many = [slider.Film(f"run {i}", 2**i, steps, pixels, pixels[::-1], np.full((30, 8), 0.5)) for i in range(12)]
    page = written(tmp_path, films=many)
    assert len(page.encode()) < 15_000_000
    assert len(re.findall("background-image: url", page)) == 12
