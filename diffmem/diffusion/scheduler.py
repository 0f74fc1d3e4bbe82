"""A path as diffusers knows it: the scheduler stored beside each checkpoint, and DDIM's cut down to a few times."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from diffmem.config.diffusion import (
    CosineDiffusion,
    DiffusionConfig,
    EDMDiffusion,
    FlowDiffusion,
    LinearDiffusion,
    PreservingDiffusion,
)

PREDICTION_TYPES = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}


def scheduler(diffusion: DiffusionConfig) -> Any:
    """diffusers' scheduler of this path and of what the network predicts on it."""
    return SCHEDULERS[type(diffusion)](diffusion)


def of_epsilon(diffusion: PreservingDiffusion) -> Any:
    """diffusers' DDIMScheduler of this path, stepped with epsilon whatever the network predicts."""
    return scheduler(replace(diffusion, predict="epsilon"))


def _ddim(diffusion: PreservingDiffusion, **schedule: object) -> Any:
    from diffusers import DDIMScheduler  # seconds to import

    return DDIMScheduler(
        num_train_timesteps=diffusion.T,
        **schedule,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        prediction_type=PREDICTION_TYPES[diffusion.predict],
    )


def _linear(diffusion: LinearDiffusion) -> Any:
    return _ddim(diffusion, beta_schedule="linear", beta_start=diffusion.beta_first, beta_end=diffusion.beta_last)


def _cosine(diffusion: CosineDiffusion) -> Any:
    return _ddim(diffusion, beta_schedule="squaredcos_cap_v2")


def _flow(diffusion: FlowDiffusion) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler  # seconds to import

    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=diffusion.T)


def _edm(diffusion: EDMDiffusion) -> Any:
    from diffusers import EDMEulerScheduler  # seconds to import

    return EDMEulerScheduler(
        num_train_timesteps=diffusion.T,
        sigma_min=diffusion.sigma_min,
        sigma_max=diffusion.sigma_max,
        sigma_data=diffusion.sigma_data,
        rho=diffusion.rho,
    )


SCHEDULERS: dict[type[DiffusionConfig], Callable[[Any], Any]] = {
    LinearDiffusion: _linear,
    CosineDiffusion: _cosine,
    FlowDiffusion: _flow,
    EDMDiffusion: _edm,
}


def spaced(scheduler: Any, calls: int) -> tuple[Any, list[int]]:
    """diffusers' DDIM `scheduler` of T times cut down to `calls` of them, and these times, descending.

    Its own times are calls - 1, ..., 0: step with these, and ask the network at those. diffusers' own step goes from t
    to t - T // calls, which is the next time only where `calls` divides T; between neighbours of a shorter schedule no
    step misses (Nichol & Dhariwal 2021, section 4).
    """
    times = trailing_times(scheduler.config.num_train_timesteps, calls)
    short = type(scheduler).from_config(scheduler.config, num_train_timesteps=calls, timestep_spacing="trailing")
    short.alphas_cumprod = scheduler.alphas_cumprod[times[::-1]]
    short.set_timesteps(calls)
    return short, times


def trailing_times(T: int, calls: int) -> list[int]:
    """`calls` <= T times from T - 1 down, as evenly spaced as whole numbers are: the step after the last ends at -1."""
    return [round(T * left / calls) - 1 for left in range(calls, 0, -1)]
