"""Runs of one shape trained together: K networks as one, whose weights are stacked, each step one batched pass.

    losses [K] = mean (F_k(x_t, t; w_k) - F*)^2,   d sum(losses) / d w_k = the gradient of run k alone

Each run keeps its state: its weights and gradients are views of the stacks, its optimizer, average, draws and flags are
its own. So it is saved, left and gone on with as if it were alone. What a run becomes does not depend on which others
it is trained with, in which order or how many they are: one alone is stacked with itself, since a stack of one is
computed in another way. It differs from a run that is trained without a pack by rounding.

Letters: K runs, B images in a batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from diffmem.config.model import UNetConfig
from diffmem.config.settings import Config
from diffmem.training import average, machine, rate
from diffmem.training.initial import State
from diffmem.training.step import Inputs

LEAST = 2  # networks in a stack


def shape(config: Config) -> tuple[object, ...]:
    """What runs of one pack have in common."""
    return (config.model, config.data.shape, config.batch, config.device, config.diffusion.variance_preserving)


def obstacle(config: Config) -> str | None:
    """The setting that keeps a run out of a pack, in words; None where nothing does."""
    train, model = config.train, config.model
    if train.precision != "fp32":
        return f"train.precision={train.precision}"
    if train.channels_last or train.compile:
        return "train.channels_last=true" if train.channels_last else "train.compile=true"
    if train.gamma is not None:
        return f"train.loss_weight={train.loss_weight}"
    if train.lora_rank is not None:
        return f"train.lora_rank={train.lora_rank}"
    if config.eval.background is not None:
        return f"eval.background={config.eval.background}"
    if config.data.labels is not False:
        return f"data.labels={str(config.data.labels).lower()}"
    if model.spectral_norm is not None:
        return f"model.spectral_norm={model.spectral_norm:g}"  # its power iterations write on the network
    if model.has_dropout:
        return f"dropout in model={model.name}"
    if isinstance(model, UNetConfig) and (model.attention or model.mid_attention):
        return f"attention in model={model.name}"  # torch has no batched attention on a CPU
    return None


class Member:
    """A run in a pack, as its session sees it: a step that the pack has taken when the session comes to it."""

    graph = compiled = False

    def __init__(self, state: State, inputs: Inputs, config: Config) -> None:
        self.state, self.inputs, self.config = state, inputs, config
        rate.follow(state.optimizer, inputs.rate, config)
        self._averages = average.Averages(state.model, state.averages)

    def __call__(self, step: int) -> None:
        """The pack has done it."""

    def update(self) -> None:
        """Move the weights by their gradients, and the averages."""
        clip = self.config.optimizer.clip
        if clip is not None:
            nn.utils.clip_grad_norm_(self.state.model.parameters(), clip)
        self.state.optimizer.step()
        self._averages.update(self.inputs.shares)


class Alone:
    """The step of a run in a pack that is driven by its own session, as where checkpoints are made anew."""

    graph = compiled = False

    def __init__(self, member: Member) -> None:
        self._pack = Pack([member])

    def __call__(self, step: int) -> None:
        self._pack.step()


class Pack:
    """`members` of one `shape`, whose tensors lie in the stacks of this pack from here on."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        states = [member.state for member in members]
        places = [min(place, len(states) - 1) for place in range(max(LEAST, len(states)))]
        models = [states[place].model for place in places]
        named = [dict(model.named_parameters()) for model in models]
        self._weights: dict[str, Tensor] = {}
        for name in named[0]:
            stack = torch.stack([weights[name].detach() for weights in named]).requires_grad_()
            stack.grad = torch.zeros_like(stack)
            self._weights[name] = stack
            for place, weights in enumerate(named[: len(states)]):
                weights[name].data, weights[name].grad = stack.detach()[place], stack.grad[place]
        self._gradients = [stack.grad for stack in self._weights.values() if stack.grad is not None]
        self._x, self._target, self._t = (self._inputs(name, places) for name in ("x_t", "target", "times"))
        self._losses, self._sound, self._late = (self._flags(name, places) for name in ("loss", "sound", "late"))
        network = models[0]

        def one(weights: dict[str, Tensor], x: Tensor, t: Tensor) -> Tensor:
            predicted: Tensor = functional_call(network, weights, (x, t))
            return predicted

        self._forward = vmap(one)

    def _inputs(self, name: str, places: Sequence[int]) -> Tensor:
        """The inputs `name` of all members, stacked; each fills its part."""
        stack = torch.stack([getattr(self.members[place].inputs, name) for place in places])
        for place, member in enumerate(self.members):
            setattr(member.inputs, name, stack[place])
        return stack

    def _flags(self, name: str, places: Sequence[int]) -> Tensor:
        """The values `name` of all states, stacked; each has its own."""
        stack = torch.stack([getattr(self.members[place].state, name) for place in places])
        for place, member in enumerate(self.members):
            setattr(member.state, name, stack[place])
        return stack

    def step(self) -> None:
        """One training step of every member; whose session goes on counts it."""
        for member in self.members:
            member.inputs.fill(member.state.step)
        with machine.arithmetic("fp32", self._x.device):
            predicted = self._forward(self._weights, self._x, self._t)
            losses = (predicted - self._target).square().flatten(1).mean(1)  # Ho et al. 2020, Eq. 14
            torch._foreach_zero_(self._gradients)
            losses.sum().backward()
            for member in self.members:
                member.update()
        losses = losses.detach()
        self._losses.copy_(losses)
        self._sound.add_(losses, alpha=0)  # inf x 0 is NaN, which stays
        self._late.add_(self._sound != 0)
