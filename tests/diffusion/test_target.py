"""Targets against diffusers' own conversions, the exact Gaussian, and one training trajectory under all of them."""

from functools import partial
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler
from torch import Tensor

from diffmem.config.diffusion import DiffusionConfig, LinearDiffusion
from diffmem.diffusion.law import Law, min_snr
from diffmem.diffusion.process import Process
from diffmem.diffusion.target import TARGETS, Target
from diffmem.training.step import loss_of
from tests.helpers.paths import EDM, FLOW, LINEAR

PATHS: dict[str, DiffusionConfig] = {
    **{name: LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2, predict=name) for name in ("epsilon", "x0", "v")},
    "flow": FLOW,
    "edm": EDM,
}
TIMES = torch.tensor([1, 60, 400, 800, 990])


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> DiffusionConfig:
    return PATHS[request.param]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def wanted(target: Target, process: Process, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """F* [B, ...]."""
    answer = eps.clone()
    target.turn(x0, answer, process.noise(x0, eps, t), t)
    return answer


def said(answer: Tensor, *_: Tensor) -> Tensor:
    return answer


def test_every_target_has_a_path_that_asks_for_it() -> None:
    assert {path.asks_for for path in PATHS.values()} == set(TARGETS)


def test_what_is_asked_for_gives_epsilon_back(path: DiffusionConfig) -> None:
    process = Process.from_config(path)
    target = Target.of(path, process)
    x0, eps = normal(5, 1, 3, 3), normal(5, 1, 3, 3, seed=1)
    x_t, seen = process.noise(x0, eps, TIMES), []

    def exact(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return wanted(target, process, x0, eps, TIMES)

    torch.testing.assert_close(target.denoiser(exact)(x_t, TIMES), eps, rtol=1e-3, atol=1e-3)
    shown = x_t.clone()
    target.turn(x0, eps.clone(), shown, TIMES)  # what training shows is what the denoiser shows
    torch.testing.assert_close(seen[0][0], shown)
    assert torch.equal(seen[0][1], target.told(TIMES))


def test_a_labelled_network_is_told_its_labels(path: DiffusionConfig) -> None:
    told: list[Tensor] = []

    def network(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        told.append(labels)
        return x

    Target.of(path, Process.from_config(path)).denoiser(network)(normal(5, 2), TIMES, torch.arange(5))
    assert torch.equal(told[0], torch.arange(5))


def test_v_is_the_velocity_of_diffusers() -> None:
    oracle: Any = DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=2e-2)
    process = Process.from_config(PATHS["v"])
    x0, eps = normal(5, 1, 3, 3), normal(5, 1, 3, 3, seed=1)
    found = wanted(Target.of(PATHS["v"], process), process, x0, eps, TIMES)
    torch.testing.assert_close(found, oracle.get_velocity(x0, eps, TIMES), rtol=1e-4, atol=1e-4)


def test_a_flows_target_is_the_derivative_of_its_path() -> None:
    process = Process.from_config(FLOW)
    x0, eps, t = normal(4, 3).double(), normal(4, 3, seed=1).double(), torch.tensor([1, 200, 600, 998])
    signal, sigma = (values[:, None] for values in process.exact())
    earlier, later = (signal[at] * x0 + sigma[at] * eps for at in (t - 1, t + 1))
    velocity = (later - earlier) * FLOW.T / 2
    found = wanted(Target.of(FLOW, process), process, x0, eps, t)
    torch.testing.assert_close(found, velocity, rtol=1e-6, atol=1e-6)
    assert Target.of(FLOW, process).told(t).tolist() == [1.5, 200.5, 600.5, 998.5]  # T u, as diffusers has it


def test_edm_is_preconditioned_as_diffusers_does() -> None:
    oracle: Any = EDMEulerScheduler(num_train_timesteps=EDM.T, sigma_data=EDM.sigma_data)
    process = Process.from_config(EDM)
    target, (_, sigma) = Target.of(EDM, process), process.exact()
    x0, eps = normal(5, 1, 3, 3), normal(5, 1, 3, 3, seed=1)
    x_t = process.noise(x0, eps, TIMES)
    answers = wanted(target, process, x0, eps, TIMES)
    for row, t in enumerate(TIMES.tolist()):
        level = sigma[t].float()
        torch.testing.assert_close(
            oracle.precondition_outputs(x_t[row], answers[row], level), x0[row], rtol=0, atol=3e-5
        )
        shown = x_t[row : row + 1].clone()
        target.turn(x0[:1], eps[:1].clone(), shown, TIMES[row : row + 1])
        torch.testing.assert_close(shown[0], oracle.precondition_inputs(x_t[row], level), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(target.told(TIMES)[row], oracle.precondition_noise(level), rtol=1e-5, atol=1e-6)


def test_the_optimal_loss_of_a_gaussian_is_known_in_every_target(path: DiffusionConfig) -> None:
    """Data N(0, g^2): E|F - F*|^2 = (p s - q a)^2 g^2 / (a^2 g^2 + s^2), within four standard errors."""
    process, g = Process.from_config(path), 0.5
    target = Target.of(path, process)
    for t in TIMES.tolist():
        signal, sigma = (float(values[t]) for values in process.exact())
        p, q = (float(values[t]) for values in (target.of_data, target.of_noise))
        x0, eps = g * normal(20_000, 1), normal(20_000, 1, seed=1)
        x_t, times = process.noise(x0, eps, torch.tensor([t])), torch.full((1,), t)
        spread = signal**2 * g**2 + sigma**2
        best = (p * signal * g**2 + q * sigma) / spread * x_t  # E[F* | x_t]
        errors = (best - wanted(target, process, x0, eps, times)).square()
        expected = (p * sigma - q * signal) ** 2 * g**2 / spread
        assert float((errors.mean() - expected).abs()) < 4 * float(errors.std()) / 20_000**0.5 + 1e-6
        # and as a denoiser it has the loss of epsilon that does not depend on the target
        loss = (target.denoiser(partial(said, best))(x_t, times) - eps).square()
        assert float((loss.mean() - signal**2 * g**2 / spread).abs()) < 4 * float(loss.std()) / 20_000**0.5 + 1e-5


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weighs_the_error_of_x0_whatever_is_predicted(path: DiffusionConfig, gamma: float) -> None:
    process = Process.from_config(path)
    target = Target.of(path, process)
    signal, sigma = process.exact()
    snr = (signal / sigma).square()
    weight = min_snr(process, target, gamma)
    x0, eps = normal(5, 4).double(), normal(5, 4, seed=1).double()
    answer = wanted(target, process, x0, eps, TIMES)
    off = answer + 0.1
    x_t = process.noise(x0, eps, TIMES)
    denoised = process.x0(x_t, target.denoiser(partial(said, off))(x_t, TIMES), TIMES)
    of_x0 = snr.clamp(max=gamma)[TIMES] * (denoised - x0).square().mean(1)
    torch.testing.assert_close(weight[TIMES] * (off - answer).square().mean(1), of_x0, rtol=2e-2, atol=1e-6)
    if path.asks_for in ("epsilon", "v"):  # Hang et al. 2023
        closed = snr.clamp(max=gamma) / (snr + (path.asks_for == "v"))
        torch.testing.assert_close(weight, closed, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "min-SNR"])
def test_a_linear_denoiser_has_one_trajectory_under_all_targets(weighted: bool) -> None:
    """F = W x_t, so eps_hat = M x_t with M = skip + out W. Descent on w |F - F*|^2 from W = (M - skip) / out moves M by
    w lr times the gradient of |eps_hat - eps|^2 in M: in weighted time, the sum of w lr, the target does not matter.
    """
    ends = {}
    for name in ("epsilon", "x0", "v"):
        path = PATHS[name]
        process = Process.from_config(path)
        target = Target.of(path, process)
        law = Law.of(path, process, target, 5.0 if weighted else None)
        for t in TIMES.tolist():
            ends[name, t] = descended(process, target, law, t)
    for (name, t), end in ends.items():
        torch.testing.assert_close(end, ends["epsilon", t], rtol=2e-3, atol=2e-4, msg=f"{name} at t = {t}")


def descended(process: Process, target: Target, law: Law, t: int) -> Tensor:
    """M [d, d] at weighted time 6 from a common start, by full-batch descent with momentum on 40 images of 3 values."""
    skip, out = (float(values[t]) for values in (target.skip, target.out))
    weight = None if law.weight is None else law.weight[t].double().expand(40)
    lr = 0.2 if law.weight is None else 0.2 / float(law.weight[t])
    start = 0.3 * normal(3, 3, seed=2).double()
    W = ((start - skip * torch.eye(3).double()) / out).requires_grad_()
    times = torch.full((40,), t)
    x0, eps = normal(40, 3).double(), normal(40, 3, seed=1).double()
    x_t, answer = process.noise(x0, eps, times), wanted(target, process, x0, eps, times)
    optimizer = torch.optim.SGD([W], lr=lr, momentum=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        loss_of(x_t @ W.T, answer, weight).backward()
        optimizer.step()
    return skip * torch.eye(3).double() + out * W.detach()


def test_a_linear_denoiser_is_moved_by_its_weight_alone() -> None:
    """Twice the weight is twice the time: not only the end, every step counts as its weight times the learning rate."""
    process = Process.from_config(LINEAR)
    target = Target.of(PATHS["x0"], process)
    halved = Law(process.T, weight=torch.full((process.T,), 0.5))
    torch.testing.assert_close(descended(process, target, halved, 400), descended(process, target, Law(process.T), 400))
