"""Image files of every kind, sound and broken, as training images and as what is compared."""

import functools
import io
import os
import struct
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.fuzz.judge import Case

TRAIN = [
    *("model=unet_tiny", "model.width=4", "model.multipliers=[1]", "model.groups=2", "diffusion.T=20", "train.steps=1"),
    *("train.batch=4", "sampler.calls=2", "eval.samples=100", "eval.test_images=32", "eval.t=[2]", "eval.bootstrap=0"),
    *("data.n=4", "device=cpu", "threads=1", "executor=here", "out=out"),
]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"]
HARMS = [
    "none",
    "none",
    "cut",
    "flip",
    "empty",
    "junk",
    "pipe",
    "folder",
    "loop",
    "gone",
    "huge header",
    "unreadable name",
]


def _image(mode: str, form: str, size: tuple[int, int], orientation: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    channels = {"1": 0, "L": 0, "P": 0, "I;16": 0, "LA": 2, "RGB": 3, "YCbCr": 3, "RGBA": 4, "CMYK": 4}[mode]
    shape = size if not channels else (*size, channels)
    values = rng.integers(0, 65536 if mode == "I;16" else 256, shape).astype(np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(values) if mode not in ("1", "P", "CMYK", "YCbCr") else _converted(values, mode)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    try:
        image.save(buffer, form, exif=exif)
    except OSError:  # a mode that the format does not hold
        image.convert("RGB").save(buffer, form, exif=exif)
    return buffer.getvalue()


@functools.cache
def _sound(mode: str) -> list[bytes]:
    """As many images as a run with 4x4 pixels needs."""
    return [_image(mode, "PNG", (4, 4), 0, 100 + number) for number in range(200)]


def _converted(values: np.ndarray, mode: str) -> Image.Image:
    if mode in ("1", "P"):
        return Image.fromarray(values).convert(mode)
    return Image.frombytes(mode, (values.shape[1], values.shape[0]), values.tobytes())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A folder of sound images with one that may not be."""
    mode, form = draw(st.sampled_from(MODES)), draw(st.sampled_from(["PNG", "JPEG"]))
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    orientation, harm = draw(st.sampled_from([0, 0, 1, 3, 6, 8, 9, 65535])), draw(st.sampled_from(HARMS))
    content, at = _image(mode, form, size, orientation, draw(st.integers(0, 9))), draw(st.integers(0, 10_000))
    name = f"zz.{'png' if form == 'PNG' else 'jpg'}"
    channels = draw(st.sampled_from([1, 3]))
    words = ["train", *TRAIN, "data=image_folder", "data.root=photos", f"data.channels={channels}", "data.size=4"]
    if draw(st.integers(0, 3)) == 0:
        words = ["compare", "photos", "--train", "photos", "--out", "out", "--samples", "4"]

    def make(folder: Path) -> None:
        photos = folder / "photos"
        photos.mkdir()
        for number, image in enumerate(_sound("RGB" if channels == 3 else "L")):
            (photos / f"{number}.png").write_bytes(image)
        plant(photos / name, content, harm, at)

    label = f"{words[0]} {mode} {form} {size} exif {orientation} {harm}"
    return Case("images", label, tuple(words), (name, "photos", "data.", "zz"), make)


def plant(path: Path, content: bytes, harm: str, at: int) -> None:
    """Put `content` at `path`, broken at byte `at` where `harm` is of that kind, or something else in its place."""
    if harm == "pipe":
        os.mkfifo(path)
    elif harm == "folder":
        path.mkdir()
    elif harm == "loop":
        path.symlink_to(path.name)
    elif harm == "gone":
        path.symlink_to("nowhere")
    elif harm == "unreadable name":
        path.with_name("zz\x1b[31m\n.png").write_bytes(b"no image")
    else:
        at %= max(len(content), 1)
        flipped = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        bomb = (
            b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100_000, 100_000, 8, 2, 0, 0, 0) + bytes(4)
        )
        path.write_bytes(
            {"cut": content[:at], "flip": flipped, "empty": b"", "junk": b"<html>" * 9, "huge header": bomb}.get(
                harm, content
            )
        )
