"""The library face: a run on disk as a Python object, and its checkpoints in diffusers' own hands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.models.unets.unet_2d import UNet2DModel

import diffmem
from diffmem.data import load, split
from diffmem.diffusion.sampler import initial_noise
from diffmem.errors import InputError
from diffmem.metrics.memorization import memorized_fraction
from diffmem.metrics.search import nearest_two
from diffmem.pictures import Pictures
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import CHECKPOINTS, tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> diffmem.Run:
    planned = plan(tiny(tmp_path_factory.mktemp("runs"), train={"ema": 0.9}))
    execute(planned)
    return diffmem.load_run(planned.run.path)


def test_what_a_run_knows(run: diffmem.Run) -> None:
    assert run.config == tiny(run.path.parent, train={"ema": 0.9})
    assert run.steps == CHECKPOINTS
    assert run.status["status"] == "complete"
    metrics = run.metrics()
    assert isinstance(metrics, pd.DataFrame)
    assert metrics["step"].tolist() == CHECKPOINTS
    assert metrics["f_mem"].between(0, 1).all()


def test_images_are_the_split_in_model_space(run: diffmem.Run) -> None:
    parts = split(load(run.config.data), run.config.data)
    assert torch.equal(run.train_images(), parts.train)
    assert torch.equal(run.test_images(), parts.test)
    pixels = run.to_images(run.train_images())
    torch.testing.assert_close(pixels, load(run.config.data).read(0, 8), rtol=0, atol=1e-6)
    assert float(run.to_images(run.train_images() + 100).max()) == 1.0


def test_stored_samples_are_those_of_the_stored_model(run: diffmem.Run) -> None:
    samples = run.samples(24)
    assert samples["images"].shape == (5, 1, 8, 8)
    assert samples["d1"].shape == (128,)
    torch.testing.assert_close(run.sample(24, 5), samples["images"], rtol=1e-4, atol=1e-4)


def test_stored_rows_follow_from_stored_samples(run: diffmem.Run) -> None:
    samples, row = run.samples(24), run.metrics().set_index("step").loc[24]
    again = nearest_two(run.sample(24, 128), run.train_images())
    torch.testing.assert_close(again.d1, samples["d1"], rtol=1e-4, atol=1e-4)
    fraction = memorized_fraction(samples["d1"], samples["d2"])
    assert (fraction.count, fraction.total) == (row["f_mem_count"], row["f_mem_total"])
    assert (fraction.low, fraction.high) == (row["f_mem_low"], row["f_mem_high"])
    heldout = nearest_two(run.test_images(), run.train_images())
    assert memorized_fraction(heldout.d1, heldout.d2).value == row["f_mem_null"]


def test_a_checkpoint_opens_with_diffusers_and_gives_our_samples(run: diffmem.Run) -> None:
    """A plain loop with the stored model and the stored scheduler, from our initial noise."""
    folder = run.path / "checkpoints" / "step_00000024"
    model = UNet2DModel.from_pretrained(folder).eval()
    scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    scheduler.set_timesteps(run.config.sampler.calls)
    x = initial_noise(5, (1, 8, 8))
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, t).sample, t, x).prev_sample
    torch.testing.assert_close(x, run.samples(24)["images"], rtol=0, atol=1e-4)
    note = json.loads((folder / "diffmem.json").read_text())
    mean = torch.tensor(note["mean"]).view(-1, 1, 1)
    torch.testing.assert_close((x / note["scale"] + mean).clamp(0, 1), run.to_images(x))


def test_averaged_weights_open_too(run: diffmem.Run) -> None:
    x, t = torch.zeros(2, 1, 8, 8), torch.tensor([1, 5])
    with torch.no_grad():
        raw, ema = run.model(24)(x, t), run.model(24, "ema")(x, t)
    assert not torch.equal(raw, ema)
    plain = UNet2DModel.from_pretrained(run.path / "checkpoints" / "step_00000024" / "ema").eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(x, t).sample, ema)


def test_what_is_not_there_is_said(run: diffmem.Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at step 5: the nearest are 2, 4, 6\."):
        run.model(5)
    with pytest.raises(InputError, match="no samples at step 25"):
        run.samples(25)
    with pytest.raises(InputError, match="no run directory"):
        diffmem.load_run(tmp_path)
    with pytest.raises(AttributeError, match="load_rnu"):
        diffmem.load_rnu  # type: ignore[attr-defined]  # noqa: B018
    assert [one.path for one in diffmem.load_runs(run.path.parent)] == [run.path]


def test_runs_are_chosen_by_what_tells_them_apart(run: diffmem.Run) -> None:
    folder = run.path.parent
    assert run.key == {"n": 8, "width": 4, "seed": 0, "index": 0}
    assert [one.path for one in diffmem.load_runs(folder, n=8, seed=0)] == [run.path]
    with pytest.raises(InputError, match=r"holds no run with n=64, seed=0: its runs have n = 8; seed = 0\."):
        diffmem.load_runs(folder, n=64, seed=0)
    with pytest.raises(TypeError):
        diffmem.load_runs(folder, m=8)  # type: ignore[call-arg]


def test_a_run_is_shown_in_a_notebook(run: diffmem.Run) -> None:
    shown = run._repr_html_()
    for name, value in (("run", run.path.name), ("status", "complete"), ("n", 8), ("step", 24)):
        assert f"<tr><th>{name}</th><td>{value}</td></tr>" in shown


def test_a_sheet_puts_samples_beside_their_nearest_training_image(run: diffmem.Run) -> None:
    sheet = Pictures().sheet(run.path, 24, count=3)
    assert sheet is not None
    samples = run.samples(24)
    brute = torch.cdist(samples["images"][:3].flatten(1).double(), run.train_images().flatten(1).double())
    nearest = run.train_images()[brute.argmin(1)]
    torch.testing.assert_close(torch.from_numpy(sheet.nearest), run.to_images(nearest))
    two = brute.sort(1).values
    torch.testing.assert_close(torch.from_numpy(sheet.ratio), two[:, 0] / two[:, 1], rtol=1e-5, atol=0)
    assert Pictures().sheet(run.path, 5) is None


def test_the_same_noise_is_shown_at_every_step_nearest_to_a_training_image_at_the_last(run: diffmem.Run) -> None:
    first, last = Pictures().same_noise(run.path, [6, 24], count=2)
    (early, late) = (Pictures().sheet(run.path, step) for step in (6, 24))
    assert early is not None
    assert late is not None
    chosen = np.sort(np.argsort(late.ratio)[:2])
    for shown, whole in ((first, early), (last, late)):
        np.testing.assert_array_equal(shown.ratio, whole.ratio[chosen])
        np.testing.assert_array_equal(shown.samples, whole.samples[chosen])
        np.testing.assert_array_equal(shown.nearest, whole.nearest[chosen])
    assert (first.step, last.step, first.n) == (6, 24, 8)
    assert Pictures().same_noise(run.path, [5, 24]) == []


def test_a_film_is_the_sheets_of_all_steps(run: diffmem.Run) -> None:
    film = Pictures().film(run.path)
    assert film is not None
    assert film.steps.tolist() == CHECKPOINTS
    assert film.samples.shape == film.nearest.shape == (len(CHECKPOINTS), 5, 1, 8, 8)  # five are kept
    for place, step in enumerate(CHECKPOINTS):
        sheet = Pictures().sheet(run.path, step)
        assert sheet is not None
        for name in ("samples", "nearest"):
            shown, exact = getattr(film, name)[place], getattr(sheet, name)
            np.testing.assert_allclose(shown / 255, exact, rtol=0, atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(film.ratio[place], sheet.ratio)
    assert (film.run, film.n, film.k) == (run.path.name, 8, 1 / 3)


def test_no_more_samples_are_read_than_asked_for(run: diffmem.Run) -> None:
    whole, first = run.samples(24), run.samples(24, 3)
    assert set(first) == set(whole)
    for name, part in first.items():
        assert torch.equal(part, whole[name][:3])


@pytest.mark.parametrize(
    "model",
    [
        {"name": "unet_reference", "width": 4},
        {"name": "resmlp", "width": 8, "multipliers": None, "mid_attention": None, "groups": None},
    ],
)
def test_other_models_open_through_load_run(model: dict[str, object], tmp_path: Path) -> None:
    mixture = {"name": "mixture", "n": 8, "dim": 4, "mu": 1.0, "sigma": 1.0, "size": None, "channels": None}
    groups = {"data": mixture} if model["name"] == "resmlp" else {}
    planned = plan(tiny(tmp_path, model=model, train={"steps": 2}, **groups))
    execute(planned)
    run = diffmem.load_run(planned.run.path)
    torch.testing.assert_close(run.sample(2, 5), run.samples(2)["images"], rtol=1e-4, atol=1e-4)
