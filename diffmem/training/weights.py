"""The weights that an evaluation is of: the raw ones, an average that is stored, or one that is rebuilt from the stored
averages of all checkpoints up to its step (`posthoc`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.store import RunDir
from diffmem.training import average, posthoc, snapshot


def stored(config: Config) -> tuple[str, ...]:
    """The weights in a checkpoint that an evaluation reads: one, or all that another average is rebuilt from."""
    if config.eval.weights != "posthoc":
        return (config.eval.weights,)
    assert config.eval.ema_sigma is not None
    if config.eval.ema_sigma in average.POSTHOC:
        return (average.stored_name(config.eval.ema_sigma),)
    return average.names(config.train)


def are_rebuilt(config: Config) -> bool:
    """Whether an evaluation needs the checkpoints before a step, too."""
    return len(stored(config)) > 1


def read(run: RunDir, step: int, config: Config) -> nn.Module:
    """The network of `run` after `step` with the weights that `config` evaluates, in eval mode on the CPU.

    Raises InputError where a checkpoint that it takes is damaged or missing.
    """
    first, *others = stored(config)
    if not others or step == 0:
        return snapshot.read_checkpoint(run.checkpoint_path(step), config, first)
    return _rebuilt(run, step, config)


def residuals(run: RunDir, config: Config) -> dict[int, float]:
    """Each step of `run` with a checkpoint -> the residual of the average that an evaluation reads there."""
    steps = run.checkpoint_steps()
    return {step: _fit(_up_to(steps, step), config).residual if step and are_rebuilt(config) else 0.0 for step in steps}


def check(run: RunDir, config: Config) -> list[str]:
    """What a user should know of the average that an evaluation rebuilds.

    Raises InputError where the checkpoints of `run` do not tell it at its last step.
    """
    found = residuals(run, config)
    sigma, limit = config.eval.ema_sigma, posthoc.LIMIT
    if found and found[max(found)] > limit:
        raise InputError(
            f"eval.ema_sigma={sigma:g} cannot be rebuilt from the averages in {run.path}: at step {max(found)} the "
            f"residual of the least squares is {found[max(found)]:.2f}, and more than {limit} is refused: use a width "
            f"nearer to {average.POSTHOC[0]} to {average.POSTHOC[1]}, or train with a larger grid.per_decade."
        )
    left_out = [str(step) for step, residual in found.items() if residual > limit]
    if not left_out:
        return []
    return [
        f"eval.ema_sigma={sigma:g}: no rows at step {', '.join(left_out)}, where too few checkpoints lie before "
        f"(residual above {limit})"
    ]


def steps(run: RunDir, config: Config) -> list[int]:
    """The steps of `run` whose row can be made."""
    return [step for step, residual in residuals(run, config).items() if residual <= posthoc.LIMIT]


def columns(run: RunDir, step: int, config: Config) -> dict[str, float]:
    """What a row says of the weights it is of: `ema_residual`, of rebuilt ones."""
    return {"ema_residual": residuals(run, config)[step]} if are_rebuilt(config) else {}


def _fit(steps: Sequence[int], config: Config) -> posthoc.Fit:
    assert config.eval.ema_sigma is not None
    return posthoc.solve(tuple(steps), config.eval.ema_sigma)


def _up_to(steps: Sequence[int], last: int) -> list[int]:
    return [step for step in steps if 0 < step <= last]


@torch.no_grad()
def _rebuilt(run: RunDir, last: int, config: Config) -> nn.Module:
    steps = _up_to(run.checkpoint_steps(), last)
    total: dict[str, Tensor] = {}
    model = None
    for step, parts in zip(steps, _fit(steps, config).parts.tolist(), strict=True):
        for name, part in zip(stored(config), parts, strict=True):
            model = snapshot.read_checkpoint(run.checkpoint_path(step), config, name)
            for key, weight in model.named_parameters():
                total[key] = total.get(key, torch.zeros((), dtype=torch.float64)) + part * weight.double()
    assert model is not None
    for key, weight in model.named_parameters():
        weight.copy_(total[key])
    return model
