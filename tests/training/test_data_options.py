"""Runs on mirrored images, without copies, and on latents: what training sees, and what stands in the run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmem.config.compose import compose
from diffmem.data import load, split
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.runs import load_run
from diffmem.training import step
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import OVERRIDES, tiny


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path_factory.mktemp("cache")))


def batch(at: int, **data: str) -> Tensor:
    """The clean images of training step `at`, from what the step hands the network: [B, C, H, W]."""
    config = tiny(data=data)
    process = Process.from_config(config.diffusion)
    inputs = step.Inputs(split(load(config.data), config.data).train, process, config)
    inputs.fill(at)
    alpha_bar = process.alpha_bar[inputs.t][:, None, None, None]
    return (inputs.x_t - (1 - alpha_bar).sqrt() * inputs.target) / alpha_bar.sqrt()


def test_training_sees_each_image_or_its_mirror_by_a_keyed_draw() -> None:
    mirrored = 0
    for at in range(50):
        plain, flipped = batch(at), batch(at, augment="flip")
        same, mirror = ((view - flipped).abs().flatten(1).amax(1) < 1e-4 for view in (plain, plain.flip(-1)))
        assert bool((same | mirror).all())
        assert torch.equal(flipped, batch(at, augment="flip"))
        mirrored += int((~same).sum())
    assert abs(mirrored - 100) < 4 * 50**0.5  # of 200 images, four standard deviations


def test_what_is_set_counts_in_the_id_and_what_is_not_does_not() -> None:
    plain, flipped, without = tiny(), tiny(data={"augment": "flip"}), tiny(data={"deduplicate": "near"})
    assert len({config.run_id("abc") for config in (plain, flipped, without)}) == 3
    assert not {"augment", "deduplicate", "order"} & set(plain.to_mapping()["data"])
    assert flipped.to_mapping()["data"]["augment"] == "flip"


@pytest.mark.slow
def test_a_run_without_copies_on_mirrored_images_says_so_and_is_found_again(tmp_path: Path) -> None:
    config = tiny(tmp_path, data={"augment": "flip", "deduplicate": "near"}, train={"steps": 4})
    planned = plan(config)
    assert any("near copies are taken out" in note for note in planned.notes)
    assert execute(planned).status == "complete"
    removed = json.loads(planned.run.meta_path.read_text())["data"]["removed"]
    assert removed["how"] == "near"
    assert [1540, 1502] in removed["pairs"]
    assert removed["sha256"] == load(tiny().data).sha256
    run = load_run(planned.run.path)
    assert run.config == config
    assert plan(run.config).run.path == planned.run.path
    assert run.metrics()["step"].tolist() == [0, 2, 4]


def latents(tmp_path: Path, kind: str) -> list[str]:
    """Overrides of a tiny run on 12 latents of a tiny decoder of this kind."""
    import diffusers

    torch.manual_seed(0)
    network: Any
    if kind == "AutoencoderKL":
        network = diffusers.AutoencoderKL(
            block_out_channels=(4, 4),
            norm_num_groups=2,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        )
    else:
        network = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(4, 4),
            decoder_block_out_channels=(4, 4),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        )
    network.save_pretrained(tmp_path / "decoder")
    values = np.random.default_rng(0).normal(0, 3, (12, 4, 4, 4)).astype(np.float32)
    np.save(tmp_path / "latents.npy", values)
    mine = (
        "data=latents",
        f"data.root={tmp_path / 'latents.npy'}",
        "data.size=4",
        "data.channels=4",
        "data.n=4",
        f"data.decoder={tmp_path / 'decoder'}",
        "eval.samples=8",
        "train.steps=2",
        f"out={tmp_path / 'runs'}",
    )
    return [*(word for word in OVERRIDES if not word.startswith(("data", "eval.samples", "train.steps"))), *mine]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny"])
def test_latents_are_measured_as_they_are_and_as_they_are_seen(tmp_path: Path, kind: str) -> None:
    import diffusers

    config = compose(latents(tmp_path, kind))
    planned = plan(config)
    assert execute(planned).status == "complete"
    run = load_run(planned.run.path)
    row = run.metrics().iloc[-1]
    network = getattr(diffusers, kind).from_pretrained(tmp_path / "decoder")
    stored = torch.from_numpy(np.load(tmp_path / "latents.npy"))

    def seen(z: Tensor) -> Tensor:
        with torch.no_grad():
            return (network.decode(z).sample / 2 + 0.5).clamp(0, 1)

    torch.testing.assert_close(run.to_images(run.train_images()), seen(stored[:4]), rtol=1e-4, atol=1e-4)
    images = run.to_images(run.samples(2)["images"]).flatten(1).double()
    apart = torch.cdist(images, seen(stored[:4]).flatten(1).double()).sort(dim=1).values
    expected = (apart[:, 0] / apart[:, 1] < 1 / 3)[: len(images)]
    assert row["f_mem_decoded_total"] == 8
    assert len(images) == 5
    assert expected.sum() <= row["f_mem_decoded_count"] <= expected.sum() + 3  # of three no image is kept
    assert {"f_mem", "f_mem_decoded_low", "f_mem_decoded_null"} <= set(row.index)


def test_a_decoder_of_another_kind_is_refused(tmp_path: Path) -> None:
    words = latents(tmp_path, "AutoencoderTiny")
    config = tmp_path / "decoder" / "config.json"
    whole = config.read_text()
    for content, message in (
        (whole.replace("AutoencoderTiny", "UNet2DModel"), "is a UNet2DModel: give the folder of one of AutoencoderKL"),
        ("{", "holds no config.json of a decoder"),
        (whole.replace('"latent_channels": 4', '"latent_channels": 3'), "can't be read|decodes latents of 3 channels"),
    ):
        config.write_text(content)
        from diffmem.models import decoder

        decoder._load.cache_clear()
        with pytest.raises(InputError, match=rf"data\.decoder=.*({message})"):
            plan(compose(words))
    assert not (tmp_path / "runs").exists()
