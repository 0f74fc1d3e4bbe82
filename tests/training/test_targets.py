"""Runs of every target: what the network sees and is asked for, one body, stored so that diffusers takes it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmem.compare.targets.run import run_targets
from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.data import load as load_data
from diffmem.data import split
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.errors import InputError
from diffmem.runs import load_run
from diffmem.training import snapshot
from diffmem.training.initial import initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.training.step import Inputs, prepare
from diffmem.training.train import train
from tests.helpers.tiny import OVERRIDES

CPU = torch.device("cpu")
EDM = ["diffusion=edm", "diffusion.sigma_data=0.5"]
ARMS = {
    "x0": ["diffusion.predict=x0"],
    "v": ["diffusion.predict=v"],
    "flow": ["diffusion=flow"],
    "edm": EDM,
    "min-SNR": ["diffusion.predict=v", "train.loss_weight=min_snr"],
}


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> list[str]:
    return ARMS[request.param]


def config(words: list[str], *more: str) -> Config:
    own = [word for word in OVERRIDES if not word.startswith("diffusion.")]
    return compose([*own, "diffusion=ddpm_linear", "diffusion.T=20", "executor=here", *words, *more])


def begun(settings: Config) -> tuple[Tensor, Inputs]:
    images = split(load_data(settings.data), settings.data).train
    return images, Inputs(images, Process.from_config(settings.diffusion), settings)


def test_all_targets_are_asked_at_the_same_noise(arm: list[str]) -> None:
    """The images, the noise and (but for EDM, which has its own) the times of a step are those of epsilon."""
    settings, plain = config(arm), config([])
    (_, inputs), (_, control) = begun(settings), begun(plain)
    process = Process.from_config(settings.diffusion)
    for step in (0, 7):
        inputs.fill(step)
        control.fill(step)
        if settings.diffusion.asks_for != "edm":
            assert torch.equal(inputs.t, control.t)
        eps = control.target  # whose noise is the target itself
        clean = Process.from_config(plain.diffusion).x0(control.x_t, eps, control.t)
        signal, sigma = process.coefficients(inputs.t, eps)
        x_t = signal * clean + sigma * eps
        shrink = 1 if settings.diffusion.asks_for != "edm" else (sigma**2 + 0.25).rsqrt()
        torch.testing.assert_close(inputs.x_t, shrink * x_t, rtol=1e-3, atol=1e-3)
        wanted = {
            "x0": clean,
            "v": signal * eps - sigma * clean,
            "flow": eps - clean,
            "edm": (clean - 0.25 / (sigma**2 + 0.25) * x_t) * (sigma**2 + 0.25).sqrt() / (0.5 * sigma),
        }[settings.diffusion.asks_for]
        torch.testing.assert_close(inputs.target, wanted, rtol=1e-3, atol=1e-3)


def test_a_step_is_the_gradient_of_the_weighted_loss() -> None:
    """One step of SGD under min-SNR, by hand."""
    settings = config(ARMS["min-SNR"], "optimizer=sgd", "optimizer.lr=0.1", "optimizer.momentum=0")
    images, inputs = begun(settings)
    process = Process.from_config(settings.diffusion)
    state, hand = initial_state(settings, CPU), initial_state(settings, CPU).model
    take = prepare(state, images, process, settings, Kernels())
    for moment in train(state, take):
        if moment.step == 1:
            break
    inputs.fill(0)
    snr = process.alpha_bar[inputs.t] / (1 - process.alpha_bar[inputs.t])
    weight = snr.clamp(max=5) / (snr + 1)
    error = (hand.train()(inputs.x_t, inputs.t) - inputs.target).square().flatten(1).mean(1)
    (weight * error).mean().backward()
    for weights, mine in zip(state.model.parameters(), hand.parameters(), strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(weights.detach(), mine.detach() - 0.1 * mine.grad, rtol=1e-4, atol=1e-6)


def test_every_target_is_trained_measured_stored_and_read(arm: list[str], tmp_path: Path) -> None:
    settings = config(arm, "data.center=half", "train.steps=4", f"out={tmp_path}")
    planned = plan(settings)
    assert execute(planned).status == "complete"
    run = load_run(planned.run.path)
    assert run.config.trajectory() == settings.trajectory()
    row = run.metrics().iloc[-1]
    assert {"f_mem", "p_train", "mmd_pixels", "loss_test_t2"} <= set(row.index)
    assert float(row["loss_test_t2"]) > 0
    denoiser, process = run.denoiser(4), Process.from_config(settings.diffusion)
    drawn = sample(denoiser, initial_noise(3, (1, 8, 8)), diffusion=settings.diffusion, sampler=settings.sampler)
    torch.testing.assert_close(drawn, run.samples(4, 3)["images"], rtol=1e-4, atol=1e-4)
    (target,) = run_targets(run.path, "last")
    assert target.load is not None
    model = target.load(CPU)
    assert model.denoiser is not None
    x, t = process.noise(run.train_images(), torch.ones(8, 1, 8, 8), torch.tensor([9])), torch.full((8,), 9)
    torch.testing.assert_close(model.denoiser(x, t), denoiser(x, t))


def stepped(folder: Path, noise: Tensor, calls: list[float] | None) -> Tensor:
    """Samples of a checkpoint folder by diffusers' network and diffusers' scheduler alone."""
    import diffusers

    part = folder / "unet" if (folder / "unet").is_dir() else folder
    network = diffusers.UNet2DModel.from_pretrained(part, local_files_only=True, low_cpu_mem_usage=False).eval()
    name = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["_class_name"]
    scheduler: Any = getattr(diffusers, name).from_pretrained(folder / "scheduler")
    options = {} if calls is None else {"sigmas": torch.tensor(calls).double() if name.startswith("EDM") else calls}
    scheduler.set_timesteps(2, **options)
    x = noise
    with torch.no_grad():
        for t in scheduler.timesteps:
            seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(network(seen, t, return_dict=False)[0], t, x).prev_sample
    return x


@pytest.mark.parametrize(
    ("words", "calls", "begin"),
    [
        (ARMS["x0"], None, 1.0),
        (ARMS["v"], None, 1.0),
        (ARMS["flow"], [19.5 / 20, 9.5 / 20], (0.975**2 + 0.025**2) ** 0.5),
        (EDM, [0.0, 1 - 9 / 19], (80**2 + 1) ** 0.5),
    ],
    ids=["x0", "v", "flow", "edm"],
)
def test_diffusers_draws_the_same_samples(
    words: list[str], calls: list[float] | None, begin: float, tmp_path: Path
) -> None:
    settings = config(words, "data.center=half", f"out={tmp_path}", "train.steps=3")
    planned = plan(settings)
    execute(planned)
    run = load_run(planned.run.path)
    noise = initial_noise(4, (1, 8, 8))
    theirs = stepped(planned.run.checkpoint_path(3), begin * noise, calls)
    torch.testing.assert_close(theirs, run.sample(3, 4), rtol=1e-3, atol=1e-3)
    whole = planned.run.checkpoint_path(3) / "model_index.json"
    assert whole.exists() == settings.diffusion.variance_preserving
    if whole.exists():
        from diffusers import DDIMPipeline

        pipeline: Any = DDIMPipeline.from_pretrained(whole.parent, local_files_only=True, low_cpu_mem_usage=False)
        kind = {"x0": "sample", "v": "v_prediction"}[settings.diffusion.asks_for]
        assert pipeline.scheduler.config.prediction_type == kind


def test_a_run_resumes_to_the_bit(arm: list[str]) -> None:
    settings = config(arm)
    images, _ = begun(settings)
    process = Process.from_config(settings.diffusion)

    def trained(content: bytes | None, first: int, last: int) -> bytes:
        state = initial_state(settings, CPU) if content is None else snapshot.from_bytes(first, content, settings, CPU)
        for moment in train(state, prepare(state, images, process, settings, Kernels())):
            if moment.step == last:
                break
        return snapshot.to_bytes(state)

    assert trained(trained(None, 0, 3), 3, 6) == trained(None, 0, 6)


REFUSED = {
    "sampler=ddpm diffusion=flow": "sampler=ddpm steps along a variance-preserving path.*use sampler=ddim or heun",
    "sampler=reference diffusion=edm": "sampler=reference steps along",
    "diffusion=flow diffusion.predict=v": "diffusion.predict does not apply to diffusion=flow",
    "diffusion.predict=score": "diffusion.predict=score is not one of epsilon, x0, v",
    "train.loss_weight=snr": "train.loss_weight=snr is not one of uniform, min_snr",
    "train.min_snr_gamma=3": "train.min_snr_gamma=3.0 does nothing with train.loss_weight=uniform",
    "sampler=heun sampler.calls=10": "sampler.calls=10 is even",
    "sampler=heun sampler.calls=2001": "sampler.calls=2001 is more than the diffusion.T=1000 times",
    "diffusion=edm diffusion.sigma_min=90": "diffusion.sigma_min=90.0 is not below diffusion.sigma_max=80.0",
}


@pytest.mark.parametrize(("words", "sentence"), REFUSED.items(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_in_a_sentence(words: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        compose(words.split())
