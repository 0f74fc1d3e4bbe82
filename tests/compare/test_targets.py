"""Targets that others made: read without running their code, drawn as their authors would, refused in a sentence."""

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from diffmem.compare.comparison import compare
from diffmem.compare.targets.diffusers import KINDS, draw
from diffmem.compare.targets.open import open_targets
from diffmem.compare.targets.read_images import ImagePaths, read_images
from diffmem.config.diffusion import LinearDiffusion
from diffmem.config.model import UNetReferenceModel
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise
from diffmem.diffusion.target import Target as Asked
from diffmem.errors import InputError
from diffmem.models.unet_reference import SINUSOIDS, UNetReference, sinusoid, study_names
from tests.helpers.compare_targets import noise_images, tiny_unet
from tests.helpers.image_files import random_images, write_folder

NAME = "CelebA16_6_8_SGD_Momentum_6_0.0100_index1"


class Code:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def reference_folder(root: Path, name: str = NAME, steps: tuple[int, ...] = (0, 250, 5000)) -> Path:
    """A folder as the reference code leaves it, with a small network's weights under the study's names."""
    torch.manual_seed(0)
    size: dict[str, Any] = {"width": 8, "blocks": 2, "multipliers": (1, 2), "attention": (2,), "mid_attention": True}
    cfg = UNetReferenceModel(heads=4, groups=8, dropout=0.1, **size)
    network = UNetReference(cfg, (1, 16, 16))
    state = {f"module.{theirs}": network.state_dict()[ours] for ours, theirs in study_names(network).items()}
    state[f"module.{SINUSOIDS}"] = sinusoid(torch.arange(1000), 8)
    (root / name / "Models").mkdir(parents=True)
    for step in steps:
        torch.save(state, root / name / "Models" / f"Model_{step}")
    (root / name / "Models" / "_cfg.py").write_text("raise SystemExit")
    return root / name


def pipeline_folder(root: Path) -> Path:
    from diffusers import DDPMPipeline, DDPMScheduler

    pipeline: Any = DDPMPipeline(tiny_unet(), DDPMScheduler(num_train_timesteps=20))
    pipeline.save_pretrained(root / "pipe")
    return root / "pipe"


@pytest.fixture
def train(tmp_path: Path) -> ImagePaths:
    return ImagePaths(write_folder(tmp_path / "train", random_images(12, 9, 8, 3)))


def test_reference_folder(tmp_path: Path) -> None:
    """Step, subset and mean come from the folder's name and the tensor; all models get the same noise."""
    whole = noise_images(30, 0, 16)
    torch.save(whole, tmp_path / "CelebA16.pt")
    folder = reference_folder(tmp_path)
    paths = ImagePaths(tmp_path / "CelebA16.pt")
    targets = open_targets([f"{folder}@all"], paths)
    assert [target.step for target in targets] == [0, 250, 5000]
    assert open_targets([str(folder)], paths)[0].step == 5000
    images = targets[0].images
    assert torch.equal(images.train, whole[6:12])
    assert images.heldout is not None
    assert torch.equal(images.heldout, whole[12:])
    assert targets[0].load is not None
    model = targets[0].load(torch.device("cpu"))
    assert torch.allclose(model.space.to_model(images.train).mean(), torch.tensor(0.0), atol=1e-6)
    assert torch.equal(targets[0].draw(2, model), model.space.to_pixels(model.sample(initial_noise(2, (1, 16, 16)))))


@pytest.mark.parametrize(
    ("name", "word", "words"),
    [
        (NAME, f"{NAME}@300", "no checkpoint at step 300: the nearest saved are 0, 250, 5000."),
        (NAME, f"{NAME}@best", "stores no quality"),
        (f"{NAME}_t50", f"{NAME}_t50", "cannot sample"),
        ("mine", "mine", "names its folder"),
        (NAME.replace("_6_8_", "_20_8_"), NAME.replace("_6_8_", "_20_8_"), "images 20 to 39"),
        (NAME.replace("_8_SGD", "_16_SGD"), NAME.replace("_8_SGD", "_16_SGD"), "width 8"),
    ],
)
def test_bad_reference_folders(tmp_path: Path, name: str, word: str, words: str) -> None:
    torch.save(noise_images(30, 0, 16), tmp_path / "CelebA16.pt")
    reference_folder(tmp_path, name)
    with pytest.raises(InputError) as caught:
        compare(open_targets([str(tmp_path / word)], ImagePaths(tmp_path / "CelebA16.pt")), samples=1)
    assert words in str(caught.value)


@pytest.mark.parametrize("which", ["", "@last", "@all", "@5"])
def test_a_reference_folder_whose_saves_name_no_step(tmp_path: Path, which: str) -> None:
    folder = reference_folder(tmp_path, steps=())
    (folder / "Models" / "Model_final").write_bytes(b"")
    with pytest.raises(InputError, match="has no checkpoint yet"):
        open_targets([f"{folder}{which}"], ImagePaths(tmp_path / "CelebA16.pt"))


@pytest.mark.parametrize("where", ["reference", "pt", "bin"])
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, train: ImagePaths, where: str) -> None:
    evil, trap = tmp_path / "evil", Code(tmp_path / "ran")
    if where == "reference":
        (evil / NAME / "Models").mkdir(parents=True)
        torch.save(trap, evil / NAME / "Models" / "Model_1")
        torch.save(noise_images(30, 0, 16), tmp_path / "CelebA16.pt")
        word, train = str(evil / NAME), ImagePaths(tmp_path / "CelebA16.pt")
    elif where == "pt":
        torch.save(trap, tmp_path / "samples.pt")
        word = str(tmp_path / "samples.pt")
    else:
        tiny_unet().save_pretrained(evil)
        (evil / "diffusion_pytorch_model.safetensors").unlink()
        torch.save(trap, evil / "diffusion_pytorch_model.bin")
        word = str(evil)
    with pytest.raises(InputError, match="only tensors are read, nothing that could run code"):
        compare(open_targets([word], train), samples=1)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", ["pipeline", "unet", "unet of a pipeline", "bin"])
def test_diffusers_folders(tmp_path: Path, train: ImagePaths, form: str) -> None:
    """The same weights in every form; samples are those of diffusers' own DDIM from the common noise."""
    from diffusers import DDIMScheduler

    folder = pipeline_folder(tmp_path)
    if form == "unet":
        tiny_unet().save_pretrained(tmp_path / "net")
        (folder / "scheduler").rename(tmp_path / "net" / "scheduler")
        folder = tmp_path / "net"
    elif form == "unet of a pipeline":
        folder = folder / "unet"
    elif form == "bin":
        (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        torch.save(tiny_unet().state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")
    target = open_targets([str(folder)], train)[0]
    assert (target.images.shape, len(target.images.train)) == ((3, 8, 8), 12)
    assert target.load is not None
    drawn = target.draw(3, target.load(torch.device("cpu")))
    net = tiny_unet().eval()
    scheduler: Any = DDIMScheduler(num_train_timesteps=20, timestep_spacing="trailing")
    x = initial_noise(3, (3, 8, 8))
    scheduler.set_timesteps(20)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t).sample, t, x).prev_sample
    torch.testing.assert_close(drawn, (x + 1) / 2)


def test_a_network_without_a_scheduler_says_so(tmp_path: Path, train: ImagePaths) -> None:
    tiny_unet().save_pretrained(tmp_path / "net")
    assert "no scheduler beside the network" in open_targets([str(tmp_path / "net")], train)[0].notes[0]


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_becomes_epsilon(kind: str) -> None:
    process = Process.from_config(LinearDiffusion(T=50, beta_first=1e-4, beta_last=2e-2))
    x0, eps, t = noise_images(6, 0).double(), torch.randn(6, 1, 4, 4).double(), torch.arange(6) * 8
    signal, sigma = process.coefficients(t, x0)
    said = {"epsilon": eps, "sample": x0, "v_prediction": signal * eps - sigma * x0}[kind]
    epsilon = Asked.along(process, KINDS[kind]).denoiser(lambda x, t: said)(process.noise(x0, eps, t), t)
    torch.testing.assert_close(epsilon, eps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("T", [75, 128, 1000])
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_whatever_the_number_of_times_a_gaussian_is_drawn(kind: str, T: int) -> None:
    """An exact network of N(0.7, 0.4^2): the mean is right, and the spread is the 93% that 50 calls keep."""
    from diffusers import DDIMScheduler

    options: dict[str, Any] = {"num_train_timesteps": T, "beta_start": 0.1 / T, "beta_end": 20 / T}
    schedule: Any = DDIMScheduler(**options, prediction_type=kind, clip_sample=False, set_alpha_to_one=True)
    process = Process(schedule.alphas_cumprod)

    def network(x: Tensor, t: Tensor) -> Tensor:
        signal, sigma = process.coefficients(t, x)
        x0 = 0.7 + signal * 0.4**2 * (x - signal * 0.7) / (signal**2 * 0.4**2 + sigma**2)
        eps = (x - signal * x0) / sigma
        return {"epsilon": eps, "sample": x0, "v_prediction": signal * eps - sigma * x0}[kind]

    x = draw(network, initial_noise(4000, (2,)), schedule)
    assert abs(float(x.mean()) - 0.7) < 4 * 0.4 / 8000**0.5
    assert abs(float(x.std()) - 0.93 * 0.4) < 4 * 0.4 / 16000**0.5


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


BREAKAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda p: change(p / "model_index.json", vae=["diffusers", "AutoencoderKL"]), "parts scheduler, unet, vae"),
    (lambda p: change(p / "model_index.json", unet=["evil", "UNet2DModel"]), "pixel space"),
    (lambda p: change(p / "unet" / "config.json", num_class_embeds=10), "takes a class label"),
    (lambda p: change(p / "unet" / "config.json", sample_size=None), "sample_size=null"),
    (lambda p: change(p / "unet" / "config.json", out_channels=6), "3 -> 6 channels"),
    (
        lambda p: change(p / "scheduler" / "scheduler_config.json", _class_name="FlowMatchScheduler"),
        "variance-preserving",
    ),
    (lambda p: change(p / "scheduler" / "scheduler_config.json", beta_schedule="mine"), "makes no schedule"),
    (lambda p: (p / "unet" / "config.json").write_text("{"), "cannot be read as JSON"),
    (lambda p: (p / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "has no weights"),
    (lambda p: (p / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99), "does not load"),
    (lambda p: (p / "diffmem.json").write_text("{}"), "is a checkpoint of a run"),
]


@pytest.mark.parametrize(("breakage", "words"), BREAKAGES)
def test_bad_diffusers_folders(
    tmp_path: Path, train: ImagePaths, breakage: Callable[[Path], object], words: str
) -> None:
    folder = pipeline_folder(tmp_path)
    breakage(folder)
    with pytest.raises(InputError) as caught:
        compare(open_targets([str(folder)], train), samples=1)
    assert words in str(caught.value)


def save_tensor(path: Path, images: Tensor) -> Path:
    if path.suffix == ".npy":
        np.save(path, images.numpy())
    elif path.suffix == ".safetensors":
        save_file({"images": images, "labels": torch.zeros(3)}, path)
    else:
        torch.save(images, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".safetensors"])
def test_samples_from_a_tensor(tmp_path: Path, suffix: str) -> None:
    images = noise_images(10, 0)
    train = save_tensor(tmp_path / f"train{suffix}", images)
    samples = save_tensor(tmp_path / f"samples{suffix}", (images[:6] * 2 - 1))  # in [-1, 1]
    target = open_targets([str(samples)], ImagePaths(train))[0]
    assert target.samples is not None
    torch.testing.assert_close(target.samples, images[:6])
    assert compare([target], samples=6).table["f_mem"][0] == 1.0


def test_uint8_gray_and_folders(tmp_path: Path) -> None:
    pixels = random_images(6, 8, 8)
    np.save(tmp_path / "gray.npy", pixels)
    folder = write_folder(tmp_path / "folder", pixels)
    expected = torch.from_numpy(pixels)[:, None].float() / 255
    assert torch.equal(read_images(tmp_path / "gray.npy", None, "--train"), expected)
    assert torch.equal(read_images(folder, None, "--train"), expected)
    assert read_images(folder, (3, 4, 4), "--train").shape == (6, 3, 4, 4)
    target = open_targets([str(folder)], ImagePaths(tmp_path / "gray.npy"))[0]
    assert compare([target], samples=6).table["coverage"][0] == 1.0


def bomb(path: Path) -> None:
    """A PNG header that promises 50,000 x 50,000 pixels."""
    header = b"IHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    chunk = (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e")


def truncated(path: Path) -> None:
    Image.fromarray(random_images(1, 64, 64)[0]).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize("make", [bomb, truncated])
@pytest.mark.parametrize("name", ["0a.png", "zz.png"])  # the first image gives the shape
def test_image_bombs_and_truncated_images(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    folder = write_folder(tmp_path / "folder", random_images(4, 8, 8))
    make(folder / name)
    with pytest.raises(InputError, match=f"{name} can't be decoded"):
        read_images(folder, None, "--train")


BAD_TENSORS = [
    (torch.zeros(0, 1, 4, 4), "no images"),
    (torch.full((5, 1, 4, 4), float("nan")), "5 of 5 images hold NaN"),
    (noise_images(5, 0) - 0.3, "has values from -0.2"),
    (noise_images(5, 0) * 255, "clip to"),
    (noise_images(5, 0).long(), "torch.int64"),
    (torch.rand(5, 3), "has shape (5, 3)"),
    (noise_images(5, 0, 6), "shape (1, 6, 6), and (1, 4, 4) is needed"),
]


@pytest.mark.parametrize(("images", "words"), BAD_TENSORS)
def test_bad_tensors(tmp_path: Path, images: Tensor, words: str) -> None:
    torch.save(images, tmp_path / "images.pt")
    with pytest.raises(InputError) as caught:
        read_images(tmp_path / "images.pt", (1, 4, 4), "--train")
    assert words in str(caught.value)


def test_what_is_no_target(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    for word, words in [
        (str(tmp_path / "notes"), "is no known target. Looked for: config.yaml"),
        (str(tmp_path / "nowhere"), "there is no"),
        ("empirical", "name a run before it"),
    ]:
        with pytest.raises(InputError) as caught:
            open_targets([word], ImagePaths())
        assert words in str(caught.value)
    folder = pipeline_folder(tmp_path)
    with pytest.raises(InputError, match="give --train IMAGES"):
        open_targets([str(folder)], ImagePaths())
    with pytest.raises(InputError, match="leave out @last"):
        open_targets([f"{folder}@last"], ImagePaths())
