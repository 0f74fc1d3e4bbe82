"""Labels in the sampler, on the exact denoiser of each class: what is drawn, and by how much a label counts."""

import pytest
import torch
from torch import Tensor

from diffmem.config.diffusion import DDIMSampler, DDPMSampler, LinearDiffusion, ReferenceSampler, SamplerConfig
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.metrics.search import nearest_two

DIFFUSION = LinearDiffusion(T=50, beta_first=1e-3, beta_last=0.3)
IMAGES = torch.randn(12, 1, 3, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(12) % 3


def denoiser(x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
    """That of the images of each label, or of all."""
    process = Process.from_config(DIFFUSION)
    if labels is None:
        return EmpiricalDenoiser(IMAGES, process)(x, t)
    out = torch.empty_like(x)
    for label in labels.unique():
        chosen = labels == label
        out[chosen] = EmpiricalDenoiser(IMAGES[label == CLASSES], process)(x[chosen], t[chosen])
    return out


def draw(sampler: SamplerConfig, labels: Tensor | None, tile: int = 512) -> Tensor:
    noise = initial_noise(24, (1, 3, 3))
    return sample(denoiser, noise, diffusion=DIFFUSION, sampler=sampler, labels=labels, tile=tile)


@pytest.mark.parametrize("kind", [DDIMSampler, DDPMSampler, ReferenceSampler])
def test_samples_are_images_of_their_class(kind: type[SamplerConfig]) -> None:
    labels = torch.arange(24) % 3
    nearest = nearest_two(draw(kind(calls=49), labels), IMAGES)
    assert torch.equal(CLASSES[nearest.i1], labels)
    assert float((nearest.d1 / nearest.d2).max()) < 1 / 3


def test_no_guidance_leaves_the_label_out() -> None:
    labels = torch.zeros(24, dtype=torch.int64)
    assert torch.equal(draw(DDIMSampler(calls=10, guidance=0.0), labels), draw(DDIMSampler(calls=10), None))


def test_a_step_is_the_guided_epsilon() -> None:
    """One call: the sample is the image that the guided noise implies, by hand."""
    labels, noise = torch.arange(24) % 3, initial_noise(24, (1, 3, 3))
    t = torch.full((24,), 49)
    plain, labelled = denoiser(noise, t), denoiser(noise, t, labels)
    expected = Process.from_config(DIFFUSION).x0(noise, (1 - 2.5) * plain + 2.5 * labelled, t)
    found = draw(DDIMSampler(calls=1, guidance=2.5), labels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_labels_stay_with_their_samples_whatever_the_tile() -> None:
    labels = torch.arange(24) % 3
    whole, tiled = (draw(DDIMSampler(calls=10, guidance=2.0), labels, tile) for tile in (512, 5))
    torch.testing.assert_close(whole, tiled, rtol=1e-5, atol=1e-5)
