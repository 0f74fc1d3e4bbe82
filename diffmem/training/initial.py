"""A training state and how it begins: weights drawn or given, an optimizer, and the averages of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.model import ModelConfig
from diffmem.config.settings import AdamWOptimizer, Config, Optimizer, SGDOptimizer
from diffmem.models import build, spectral
from diffmem.training import average, lora


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


def initial_state(config: Config, device: torch.device, start: Mapping[str, Tensor] | None = None) -> State:
    """The state at step 0: weights drawn on the CPU, the same on every device, or `start`, by their names."""
    model = network(config, device, start, adapters=config.train.lora_rank)
    return State(
        step=0,
        model=model,
        optimizer=make_optimizer(model, config.optimizer),
        averages={
            name: {key: weight.detach().clone() for key, weight in model.named_parameters() if weight.requires_grad}
            for name in average.names(config.train)
        },
        loss=torch.full((), float("nan"), device=device),
        sound=torch.zeros((), device=device),
        late=torch.zeros((), dtype=torch.int64, device=device),
    )


def network(
    config: Config, device: torch.device, start: Mapping[str, Tensor] | None = None, *, adapters: int | None = None
) -> nn.Module:
    """The network with the weights `start`, or with those drawn from the seed; with `adapters` of that rank."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.key(config.seed, "initial weights") % 2**63)
        model = build(config.model, config.data.shape)
        if start is not None:
            model.load_state_dict(start)
        model = in_training(model, config.model)
        if adapters is not None:
            torch.default_generator.manual_seed(rng.key(config.seed, "adapters") % 2**63)
            lora.inject(model, adapters)
    model = model.to(device)
    if config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def in_training(model: nn.Module, config: ModelConfig) -> nn.Module:
    """`model`, as `build` makes it, in the form in which it is trained."""
    if config.spectral_norm is not None:
        spectral.hold(model, config.spectral_norm)
    return model


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The weights that training moves."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def make_optimizer(model: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    """The optimizer that `config` names, over what is trained, in torch's fused form, fit for a CUDA graph."""
    weights = trained(model)
    form: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if isinstance(config, SGDOptimizer):
        return torch.optim.SGD(weights, momentum=config.momentum, **form)
    kind = torch.optim.AdamW if isinstance(config, AdamWOptimizer) else torch.optim.Adam
    return kind(weights, betas=(config.beta1, config.beta2), capturable=weights[0].is_cuda, **form)
