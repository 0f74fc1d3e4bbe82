"""A training state and how it begins: weights drawn from the seed, an optimizer, and the averages of the weights."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import AdamWOptimizer, Config, Optimizer, SGDOptimizer
from diffmem.models import build
from diffmem.training import average


class Diverged(Exception):
    """The loss (or what `what` names) was NaN or infinite at `step`."""

    def __init__(self, step: int, what: str = "the loss") -> None:
        super().__init__(f"{what} held NaN or infinite values at step {step}")
        self.step = step


@dataclass
class State:
    """Where training stands after `step` optimizer steps. `averages` has, by name, parameter name -> averaged weights.

    `loss` is that of the last step. `sound` is 0 for as long as every loss was finite and NaN from the first on that
    was not; `late` counts the steps since, that one included. None is stored, and all stay on the device, each in
    one place: looking at them every step would wait for it.
    """

    step: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    averages: dict[str, dict[str, Tensor]]
    loss: Tensor = field(default_factory=lambda: torch.tensor(float("nan")))
    sound: Tensor = field(default_factory=lambda: torch.tensor(0.0))
    late: Tensor = field(default_factory=lambda: torch.tensor(0))

    def check(self) -> None:
        """Raise Diverged where a loss so far was not finite: then the weights are not either."""
        late = int(self.late)
        if late:
            raise Diverged(self.step - late + 1)


def initial_state(config: Config, device: torch.device) -> State:
    """The state at step 0: weights drawn on the CPU, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.key(config.seed, "initial weights") % 2**63)
        model = build(config.model, config.data.shape)
    model = model.to(device)
    if config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return State(
        step=0,
        model=model,
        optimizer=make_optimizer(model, config.optimizer),
        averages={
            name: {key: weight.detach().clone() for key, weight in model.named_parameters()}
            for name in average.names(config.train)
        },
        loss=torch.full((), float("nan"), device=device),
        sound=torch.zeros((), device=device),
        late=torch.zeros((), dtype=torch.int64, device=device),
    )


def make_optimizer(model: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    """The optimizer that `config` names, over all weights, in torch's fused form, and fit for a CUDA graph."""
    weights = list(model.parameters())
    form: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if isinstance(config, SGDOptimizer):
        return torch.optim.SGD(weights, momentum=config.momentum, **form)
    kind = torch.optim.AdamW if isinstance(config, AdamWOptimizer) else torch.optim.Adam
    return kind(weights, betas=(config.beta1, config.beta2), capturable=weights[0].is_cuda, **form)
