"""A training state and how it begins: weights drawn from the seed, an optimizer, and the averaged weights."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import AdamWOptimizer, Config, Optimizer, SGDOptimizer
from diffmem.models import build


class Diverged(Exception):
    """The loss (or what `what` names) was NaN or infinite at `step`."""

    def __init__(self, step: int, what: str = "the loss") -> None:
        super().__init__(f"{what} held NaN or infinite values at step {step}")
        self.step = step


@dataclass
class State:
    """Where training stands after `step` optimizer steps. `ema` maps parameter names to averaged weights.

    `loss` is that of the last step, and `diverged_at` the first step whose loss was not finite (-1: none); neither is
    stored. Both stay on the device: looking at them each step would wait for it.
    """

    step: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: dict[str, Tensor]
    loss: Tensor = field(default_factory=lambda: torch.tensor(float("nan")))
    diverged_at: Tensor = field(default_factory=lambda: torch.tensor(-1))

    def check(self) -> None:
        """Raise Diverged where a loss so far was not finite: then the weights are not either."""
        step = int(self.diverged_at)
        if step >= 0:
            raise Diverged(step)


def initial_state(config: Config, device: torch.device) -> State:
    """The state at step 0: weights drawn on the CPU, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.key(config.seed, "initial weights") % 2**63)
        model = build(config.model, config.data.shape)
    model = model.to(device)
    if config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = {name: weight.detach().clone() for name, weight in model.named_parameters()} if config.train.ema else {}
    return State(
        step=0,
        model=model,
        optimizer=make_optimizer(model, config.optimizer),
        ema=ema,
        diverged_at=torch.full((), -1, device=device),
    )


def make_optimizer(model: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    """The optimizer that `config` names, over all weights, in torch's fused form."""
    weights = list(model.parameters())
    if isinstance(config, SGDOptimizer):
        return torch.optim.SGD(
            weights, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
        )
    kind = torch.optim.AdamW if isinstance(config, AdamWOptimizer) else torch.optim.Adam
    return kind(weights, lr=config.lr, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, fused=True)
