"""What each measure of quality says of generators whose worth is known, at several numbers of samples.

    python -m benchmarks.bookends OUT.csv [overrides]       such as data=fashion_mnist data.n=4096 sampler.calls=20

Prints one table for each number of samples M and writes all as csv. Beside the bookends of a run stand copies of fewer
images, real images with white noise of 0.05 and 0.1, and the kernel distance in 64 principal components. A measure that
is worth something orders them: real images, copies of many images, then Gaussian, independent pixels and averages, and
the mean image last; it sees the noise, and it does not move with M.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from diffmem import rng
from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.data import load, outside_test, split
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.metrics.bookends import GENERATORS, Real
from diffmem.metrics.features import extractors
from diffmem.metrics.kernel import KernelDistance
from diffmem.metrics.quality import Quality
from diffmem.training.evaluate import REAL_IMAGES

COUNTS = (200, 400, 1000)
FEW = (16, 64, 256)
SHOWN = ["mmd_pixels", "mmd_pca64", "fd", "fd_bias", "precision", "recall"]


def generators(config: Config, real: Real, count: int) -> Iterator[tuple[str, Tensor]]:
    """Name and pixels of everything that is measured."""
    for name, generate in GENERATORS.items():
        yield f"copies of {config.data.n}" if name == "copies" else name, generate(real, count)
    for n in (n for n in FEW if n < config.data.n):
        images = real.split.to_pixels(real.split.train[:n])
        yield f"copies of {n}", images[rng.indices(n, (count,), "few copies", n)]
    others = GENERATORS["real"](real, count)
    for sigma in (0.05, 0.1):
        yield f"real + noise {sigma}", others + sigma * rng.normal(tuple(others.shape), "white noise")


def table(config: Config) -> pd.DataFrame:
    """One row for each generator and M."""
    dataset = load(config.data)
    parts, images = split(dataset, config.data), outside_test(dataset, REAL_IMAGES)
    test = parts.to_pixels(parts.test)
    space = extractors.automatic(config.data.d)
    quality = Quality.against(test, [("fd", extractors.extractor(space, images))])
    components = None if images[0].numel() <= 64 else extractors.extractor("pca64", images)
    reduced = components and KernelDistance.to(torch.from_numpy(components(test)))
    rows = []
    for count in COUNTS:
        noise = initial_noise(count, config.data.shape)

        def draw(denoiser: Denoiser, noise: Tensor = noise) -> Tensor:
            return sample(denoiser, noise, diffusion=config.diffusion, sampler=config.sampler)

        real = Real(images=images, split=parts, process=Process.from_config(config.diffusion), draw=draw)
        for generator, pixels in generators(config, real, count):
            found = quality(pixels)
            row = {"M": count, "generator": generator, "samples": len(pixels)}
            row |= {measure.replace(f"fd_{space}", "fd"): value for measure, value in found.items()}
            if components and reduced:
                row["mmd_pca64"] = reduced(torch.from_numpy(components(pixels.clamp(0, 1))))[0]
            rows.append(row)
    return pd.DataFrame(rows)


def main(out: str, *overrides: str) -> None:
    found = table(compose(list(overrides)))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(out, index=False)
    for count, part in found.groupby("M"):
        shown = part.set_index("generator")[[name for name in SHOWN if name in part]]
        print(f"\n{' '.join(overrides)}, M = {count}\n{shown.round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
