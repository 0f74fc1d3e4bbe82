"""Folders of images: every kind of file, natural order, and broken ones refused by name."""

import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diffmem.config.data import DATA, ImageFolderData
from diffmem.config.options import build_variant
from diffmem.data import Dataset, load
from diffmem.data.dataset import held_out_count
from diffmem.data.decode import decode, list_images, natural_key
from diffmem.errors import InputError
from tests.helpers.image_files import random_images, write_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", random_images(6, 8, 8, 3))


def load_root(root: Path, size: int = 8, channels: int = 3) -> Dataset:
    return load(ImageFolderData(n=2, index=0, scale=1.0, size=size, channels=channels, root=str(root)))


def test_square_images_of_the_right_size_come_back_as_they_are(root: Path) -> None:
    whole = load_root(root).read(0, 6)
    truth = torch.from_numpy(random_images(6, 8, 8, 3)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(whole, truth, rtol=0, atol=1e-7)


def test_gray_is_the_luma_of_the_colours(root: Path) -> None:
    whole = load_root(root, channels=1).read(0, 6)
    luma = (random_images(6, 8, 8, 3) @ np.array([0.299, 0.587, 0.114])) / 255  # ITU-R 601
    assert np.abs(whole[:, 0].numpy() - luma).max() < 0.6 / 255


@pytest.mark.parametrize(("height", "width"), [(8, 13), (13, 8), (9, 8), (8, 30)])
def test_the_square_is_cut_from_the_centre(tmp_path: Path, height: int, width: int) -> None:
    image = random_images(1, height, width, 3)[0]
    Image.fromarray(image).save(tmp_path / "a.png")
    top, left = (height - 8) // 2, (width - 8) // 2
    expected = image[top : top + 8, left : left + 8].transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(tmp_path / "a.png", 8, 3), expected)


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    # A one-pixel chessboard is mid-gray at a quarter of its size; picking pixels would give black or white.
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "a.png")
    small = decode(tmp_path / "a.png", 16, 1).astype(int)
    assert np.abs(small - 127.5).max() < 4


def test_shrinking_is_the_triangle_filter(tmp_path: Path) -> None:
    image = random_images(1, 24, 24)[0]
    Image.fromarray(image).save(tmp_path / "a.png")
    centers = (np.arange(8) + 0.5) * 3
    weights = np.maximum(0, 1 - np.abs(np.arange(24) + 0.5 - centers[:, None]) / 3)
    weights /= weights.sum(axis=1, keepdims=True)
    truth = weights @ image @ weights.T
    assert np.abs(decode(tmp_path / "a.png", 8, 1)[0] - truth).max() < 1.1  # two roundings to 8 bits


def saved(tmp_path: Path, image: Image.Image, name: str = "a.png", **options: Any) -> np.ndarray:
    image.save(tmp_path / name, **options)
    return decode(tmp_path / name, 8, 3)


def test_every_mode_of_an_image_gives_the_same_pixels(tmp_path: Path) -> None:
    gray = random_images(1, 8, 8)[0]
    plain = np.stack([gray] * 3)
    image = Image.fromarray(gray)
    np.testing.assert_array_equal(saved(tmp_path, image), plain)
    np.testing.assert_array_equal(saved(tmp_path, Image.fromarray(gray.astype(np.uint16) * 257)), plain)
    np.testing.assert_array_equal(saved(tmp_path, image.convert("RGB")), plain)
    np.testing.assert_array_equal(saved(tmp_path, image.convert("RGBA")), plain)
    np.testing.assert_array_equal(saved(tmp_path, image.convert("LA")), plain)
    np.testing.assert_array_equal(saved(tmp_path, image.convert("P")), plain)
    np.testing.assert_array_equal(
        saved(tmp_path, image.point(lambda v: 255 * (v > 99)).convert("1")), 255 * (plain > 99)
    )
    for mode in ("L", "RGB", "CMYK"):
        jpeg = saved(tmp_path, image.convert(mode), "a.JPG", quality=100, subsampling=0)
        assert np.abs(jpeg.astype(int) - plain).max() <= 3


def test_16_bit_gray_is_scaled_and_rounded(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.abs(decode(tmp_path / "a.png", 8, 1)[0] - deep / 257).max() <= 0.5


def test_transparent_pixels_are_laid_over_white(tmp_path: Path) -> None:
    rgba = random_images(1, 8, 8, 4)[0]
    rgba[0, 0] = (9, 9, 9, 0)
    opacity = rgba[..., 3:] / 255
    truth = (rgba[..., :3] * opacity + 255 * (1 - opacity)).transpose(2, 0, 1)
    pixels = saved(tmp_path, Image.fromarray(rgba))
    assert np.abs(pixels - truth).max() <= 1
    assert pixels[:, 0, 0].tolist() == [255, 255, 255]
    palette = Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P")
    assert (saved(tmp_path, palette, transparency=0) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "ppm", "pnm"])
def test_formats_without_loss_give_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    image = random_images(1, 8, 8, 3)[0]
    options = {"lossless": True} if suffix == "webp" else {}
    np.testing.assert_array_equal(
        saved(tmp_path, Image.fromarray(image), f"a.{suffix}", **options), image.transpose(2, 0, 1)
    )
    assert [name for name, _, _ in list_images(tmp_path)[0]] == [f"a.{suffix}"]


def test_gray_maps_are_read_in_every_depth(tmp_path: Path) -> None:
    gray = random_images(1, 8, 8)[0]
    np.testing.assert_array_equal(saved(tmp_path, Image.fromarray(gray), "a.pgm"), np.stack([gray] * 3))
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(">u2")
    (tmp_path / "deep.pgm").write_bytes(b"P5 8 8 65535\n" + deep.tobytes())
    assert np.abs(decode(tmp_path / "deep.pgm", 8, 1)[0] - deep / 257).max() <= 0.5
    (tmp_path / "floats.pgm").write_bytes(b"Pf 8 8 -1.0\n" + np.ones((8, 8), "<f4").tobytes())
    with pytest.raises(InputError, match=r"floats\.pgm can't be decoded \(it holds floating-point values"):
        decode(tmp_path / "floats.pgm", 8, 1)


def test_what_is_not_read_is_counted_by_its_kind(root: Path) -> None:
    for name in ("a.gif", "b.GIF", "labels.csv", "LICENSE", ".hidden"):
        (root / name).write_text("")
    assert load_root(root).left_out == f"4 files of {root} are not read: .gif 2, without suffix 1, .csv 1"
    for name in ("b.GIF", "labels.csv", "LICENSE"):
        (root / name).unlink()
    assert load_root(root).left_out == f"4 files of {root} are not read: .gif 2, without suffix 1, .csv 1"  # once
    assert list_images(root)[1] == f"1 file of {root} is not read: .gif 1"


def test_a_folder_of_other_files_says_which(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_text("")
    with pytest.raises(InputError, match=r"holds no image \(1 file of .* is not read: \.heic 1\): give a folder"):
        list_images(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    upright = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    # What the camera stores, by the meaning of the tag: undo it and the picture is upright.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(pixels[0], upright)


def test_mixed_sizes_and_nested_folders_are_one_set_in_natural_order(tmp_path: Path) -> None:
    names = ["1.png", "2.PNG", "10.png", "a/3.jpeg", "a/20.jpg", "a-b/1.png", "b/c/1.png"]
    generator = random.Random(0)
    for level, name in generator.sample(list(enumerate(names)), len(names)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (generator.randint(4, 30), generator.randint(4, 30))
        Image.new("RGB", size, (40 * level,) * 3).save(path)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / "._1.png").write_text("what some systems leave beside an image")
    assert [name for name, _, _ in list_images(tmp_path / "images")[0]] == names
    levels = load_root(tmp_path / "images").read(0, 7).mean(dim=(1, 2, 3)) * 255
    assert levels.round().tolist() == [0, 40, 80, 120, 160, 200, 240]


def test_links_to_images_and_folders_are_followed_and_circles_end(root: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", random_images(2, 8, 8))
    (root / "linked").symlink_to(other)
    (other / "back").symlink_to(root)
    names = [name for name, _, _ in list_images(root)[0]]
    assert names[:6] == [f"{i}.png" for i in range(6)]
    assert names[6:] == ["linked/0.png", "linked/1.png"]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), unique=True))
def test_natural_order_is_the_order_of_the_numbers(pairs: list[tuple[int, int]]) -> None:
    names = [f"set{a}/img_{b}.png" for a, b in pairs]
    assert sorted(names, key=natural_key) == [f"set{a}/img_{b}.png" for a, b in sorted(pairs)]


@given(st.lists(st.text(alphabet="a1²0/_é", min_size=1), unique=True))
def test_natural_order_is_total(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "flipped", "gif"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_image_is_refused_by_name(root: Path, kind: str, suffix: str) -> None:
    path = root / f"broken.{suffix}"
    Image.fromarray(random_images(1, 64, 64, 3)[0]).save(path)
    content = path.read_bytes()
    Image.new("L", (8, 8)).save(root / "other.gif")
    flipped = content[:60] + bytes(255 - byte for byte in content[60:200]) + content[200:]
    path.write_bytes(
        {
            "empty": b"",
            "text": b"<html>not found</html>",
            "truncated": content[: len(content) // 2],
            "flipped": flipped,
            "gif": (root / "other.gif").read_bytes(),
        }[kind]
    )
    with pytest.raises(InputError, match=rf"broken\.{suffix} can't be decoded"):
        load_root(root)


def test_nothing_is_left_in_the_cache_of_a_folder_that_was_refused(root: Path, cache: Path) -> None:
    (root / "3.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"3\.png"):
        load_root(root)
    assert [path.suffix for path in (cache / "image_folder").iterdir()] == [".lock"]


def png_of_size(side: int) -> bytes:
    """A PNG that claims side x side black pixels and packs them well."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused(root: Path, side: int) -> None:
    (root / "bomb.png").write_bytes(png_of_size(side))
    with pytest.raises(InputError, match=r"bomb\.png can't be decoded .*pixels"):
        load_root(root)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "does not exist"),
        ("empty", "holds no image"),
        ("file", "can't be read .*Not a directory"),
        ("no images", "holds no image"),
        ("dangling", "can't be read .*gone.png"),
        ("few", "holds 3 images: give at least 4"),
    ],
)
def test_a_folder_without_images_is_refused(tmp_path: Path, kind: str, reason: str) -> None:
    root = tmp_path / "folder"
    if kind == "file":
        root.write_text("")
    elif kind != "missing":
        root.mkdir()
    if kind == "no images":
        (root / "notes.txt").write_text("nothing here")
    if kind == "dangling":
        (root / "gone.png").symlink_to(tmp_path / "gone.png")
    if kind == "few":
        write_folder(root, random_images(3, 8, 8))
    with pytest.raises(InputError, match=rf"data\.root=.*folder {reason}"):
        load_root(root)


def test_a_folder_that_may_not_be_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "closed").mkdir()
    scan = os.scandir

    def denied(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)  # the superuser may read whatever its mode says
    with pytest.raises(InputError, match=r"data\.root=.* can't be read .*Permission denied.*closed"):
        load_root(root)


def test_the_options_a_folder_needs_are_named() -> None:
    with pytest.raises(InputError, match=r"set data\.root to a folder"):
        load(ImageFolderData(n=2, index=0, scale=1.0, size=8, channels=3, root=None))
    whole = {"name": "image_folder", "n": 2, "index": 0, "scale": 1.0, "size": None, "channels": 3, "root": "somewhere"}
    with pytest.raises(InputError, match=r"data\.size"):
        build_variant(DATA, whole, "data")


@pytest.mark.parametrize(("count", "test"), [(4, 2), (5, 2), (2049, 1024), (2050, 2048), (5000, 2048)])
def test_a_small_folder_is_tested_on_its_last_half(count: int, test: int) -> None:
    cfg = ImageFolderData(n=2, index=0, scale=1.0, size=8, channels=1, root=None)
    assert held_out_count(cfg, count) == test


def test_a_tiff_is_its_first_page(tmp_path: Path) -> None:
    first, second = (Image.fromarray(image) for image in random_images(2, 8, 8, 3))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second], compression="tiff_lzw")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif", 8, 3), random_images(2, 8, 8, 3)[0].transpose(2, 0, 1))
    assert load_root(write_folder(tmp_path / "b", random_images(4, 8, 8, 3), ".tiff")).count == 4


def test_deep_gray_is_scaled_and_what_is_deeper_is_refused(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64).reshape(8, 8)
    Image.fromarray(deep.astype(np.uint16)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif", 8, 1)[0], np.round(deep.astype(np.uint16) / 257))
    for values in (deep.astype(np.int32) * 2, -deep.astype(np.int32)):
        Image.fromarray(values).save(tmp_path / "b.tif")
        with pytest.raises(InputError, match=r"b\.tif can't be decoded \(it holds 32-bit values"):
            decode(tmp_path / "b.tif", 8, 1)


def test_shuffled_folders_of_classes_share_every_class_between_the_splits(tmp_path: Path) -> None:
    for name in "ab":
        write_folder(tmp_path / "set" / name, random_images(8, 8, 8, 3, seed=ord(name)))
    cfg = ImageFolderData(n=2, index=0, scale=1.0, size=8, channels=3, root=str(tmp_path / "set"), order="shuffled")
    natural, shuffled = load_root(tmp_path / "set"), load(cfg)
    assert natural.labels is not None
    assert shuffled.labels is not None
    assert natural.labels.tolist() == [0] * 8 + [1] * 8
    assert len(set(shuffled.labels[8:].tolist())) == 2
    label_of = {image.tobytes(): label for image, label in zip(natural.stored, natural.labels, strict=True)}
    assert [label_of[image.tobytes()] for image in shuffled.stored] == shuffled.labels.tolist()
