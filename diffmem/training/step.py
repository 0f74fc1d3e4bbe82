"""One training step: a body that reads its inputs at fixed addresses, run from Python or replayed as a CUDA graph.

    x_t, target, t         filled before the body, by generators keyed by the step
    forward, backward      of the loss of what is predicted: epsilon (Ho, Jain, Abbeel 2020, Eq. 14), or another target
    clip, optimizer        in place
    average, flag          of the weights; of a loss that was not finite

Everything that a step changes stays at its address, so that a graph of the body, recorded once, is the whole step:
one launch for hundreds. Dropout draws from a generator that the graph knows, keyed by the step like the others. A
graph is used only after its first steps have given the very bits that the body gives without it.

Letters: B images in a batch, n training images.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.data.labels import Labels
from diffmem.diffusion.law import Law
from diffmem.diffusion.process import Process
from diffmem.diffusion.target import Target
from diffmem.training import average, machine, rate
from diffmem.training.initial import State
from diffmem.training.kernels import Kernels, install
from diffmem.training.told import told

BLOCK_STEPS = 4096  # steps whose batches are sent to the device at once
BLOCK_INDICES = 2**24  # and at most so many indices: 128 MiB
TRIED = 3  # steps that a graph must repeat bit for bit

Replay = Callable[[], object]


class Inputs:
    """What the body reads: `x_t` and `times` [B], which the network sees, `target` [B, ...], which it should answer,
    `weight` [B] of its errors, None for 1, and `shares`, the weights' part [] in each average.

    `times` is `t` [B], the indices, where the network is told these. `told` are the labels [B] that it is told, as one
    more argument: none, or one. `rate` [] is the learning rate, where it goes down.
    """

    def __init__(self, images: Tensor, process: Process, config: Config, labels: Labels | None = None) -> None:
        device, batch = images.device, config.batch
        self._images, self._process, self._config = images, process, config
        self.t = torch.full((batch,), config.train.t or 0, device=device)
        alike = images[torch.zeros_like(self.t)]  # of their layout
        self.x_t, self.target = torch.empty_like(alike), torch.empty_like(alike)
        self._asked = Target.of(config.diffusion, process)
        self._law = Law.of(config.diffusion, process, self._asked, config.train.gamma)
        self.times = self.t if self._asked.times is None else torch.zeros(batch, device=device)
        self.weight = None if self._law.weight is None else torch.ones(batch, device=device)
        self.shares = [torch.zeros((), device=device) for _ in average.names(config.train)]
        self.rate = torch.zeros((), device=device)
        self.told: tuple[Tensor, ...] = () if labels is None else (torch.zeros_like(self.t),)
        self._labels = None if labels is None else replace(labels, train=labels.train.to(device))
        self.dropout, self._noise, self._times, self._flips = (torch.Generator(device) for _ in range(4))
        self._first, self._block = 0, torch.empty(0, batch, dtype=torch.int64, device=device)

    def fill(self, step: int) -> None:
        """The inputs of the step after `step` steps."""
        config = self._config
        rng.keyed(self._noise, config.seed, "noise", step)
        self.target.normal_(generator=self._noise)
        if config.train.t is None:
            rng.keyed(self._times, config.seed, "t", step)
            self._law.draw(self.t, self._times)
        places = self._indices(step)
        images = self._taken(places, step)
        self._process.noise(images, self.target, self.t, out=self.x_t)
        self._asked.turn(images, self.target, self.x_t, self.t)
        if self.times is not self.t:
            self.times.copy_(self._asked.told(self.t))
        if self.weight is not None and self._law.weight is not None:
            self.weight.copy_(self._law.weight[self.t])
        if self._labels is not None:
            self.told[0].copy_(told(self._labels, places, config, step))
        for share, decay in zip(self.shares, average.decays(config.train, step + 1), strict=True):
            share.fill_(1 - decay)
        rate.fill(self.rate, config, step)
        if config.model.has_dropout:
            rng.keyed(self.dropout, config.seed, "dropout", step)

    def _taken(self, places: Tensor, step: int) -> Tensor:
        """The images at `places` [B], mirrored where the data are to be: [B, ...]."""
        images = self._images[places]
        if not self._config.data.flips:
            return images
        rng.keyed(self._flips, self._config.seed, "flip", step)
        mirrored = torch.rand(len(images), generator=self._flips, device=images.device) < 0.5
        return torch.where(mirrored[:, None, None, None], images.flip(-1), images)

    def _indices(self, step: int) -> Tensor:
        """The images of the batch: int64 [B]."""
        if not self._first <= step < self._first + len(self._block):
            self._send(step)
        return self._block[step - self._first]

    def _send(self, first: int) -> None:
        """Put the batches of a block of steps on the device, by one copy that nothing waits for."""
        config, device = self._config, self._images.device
        ahead = config.train.steps - first
        steps = max(1, min(BLOCK_STEPS, BLOCK_INDICES // config.batch, ahead if ahead > 0 else BLOCK_STEPS))
        block = rng.batches(config.seed, first, steps, len(self._images), config.batch)
        if device.type == "cuda":
            block = block.pin_memory()
        self._first, self._block = first, block.to(device, non_blocking=True)


class Body:
    """The step itself, on `inputs`, in place."""

    def __init__(self, state: State, inputs: Inputs, config: Config) -> None:
        self.state, self.inputs, self.config = state, inputs, config
        self.forward: Callable[..., Tensor] = state.model
        rate.follow(state.optimizer, inputs.rate, config)
        self.repeats = True  # with kernels that repeat their bits
        self._averages = average.Averages(state.model, state.averages)

    def __call__(self) -> None:
        state, clip = self.state, self.config.optimizer.clip
        with self.arithmetic():
            loss = self.gradients()
            if clip is not None:
                nn.utils.clip_grad_norm_(state.model.parameters(), clip)
            state.optimizer.step()
        self._averages.update(self.inputs.shares)
        state.loss = loss
        state.sound.add_(loss, alpha=0)  # inf x 0 is NaN, which stays
        state.late.add_(state.sound != 0)

    def arithmetic(self) -> AbstractContextManager[None]:
        """What the device computes with in the step."""
        return machine.arithmetic(self.config.train.precision, self.inputs.t.device, self.repeats)

    def gradients(self) -> Tensor:
        """The loss [], its gradients in the weights' `grad`."""
        inputs, half = self.inputs, self.config.train.precision == "bf16"
        with torch.autocast(inputs.t.device.type, torch.bfloat16, enabled=half):
            prediction = self.forward(inputs.x_t, inputs.times, *inputs.told)
        loss = loss_of(prediction.float(), inputs.target, inputs.weight)
        self.state.optimizer.zero_grad()
        loss.backward()
        return loss.detach()


def loss_of(prediction: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The mean squared error [] of `prediction` [B, ...], each image by its `weight` [B] where there is one."""
    if weight is None:
        return nn.functional.mse_loss(prediction, target)  # Ho et al. 2020, Eq. 14
    return (weight * (prediction - target).square().flatten(1).mean(1)).mean()  # Hang et al. 2023


class Step(Protocol):
    """What takes a state from `step` steps to one more, in place; `graph` and `compiled` say how it does."""

    graph: bool
    compiled: bool

    def __call__(self, step: int) -> None: ...


class EagerStep:
    """The body, launched from Python."""

    graph = False

    def __init__(self, body: Body, *, compiled: bool) -> None:
        self.body, self.compiled = body, compiled

    def __call__(self, step: int) -> None:
        self.body.inputs.fill(step)
        self.body()


class GraphStep:
    """The body's recorded launches, as one."""

    graph = True

    def __init__(self, inputs: Inputs, replay: Replay, *, compiled: bool) -> None:
        self._inputs, self._replay, self.compiled = inputs, replay, compiled

    def __call__(self, step: int) -> None:
        self._inputs.fill(step)
        self._replay()


def prepare(
    state: State, images: Tensor, process: Process, config: Config, kernels: Kernels, labels: Labels | None = None
) -> Step:
    """What trains `state` on `images` [n, ...] in model space, which lie on the training device. Changes no weight.

    `labels` are what the network is told of the images.

    Compiling, or a graph, that fails or gives other bits is left, with a warning.
    """
    state.model.train()
    body = Body(state, Inputs(images, process, config, labels), config)
    install(state.model, kernels, body.inputs.dropout)
    if images.device.type == "cuda":
        choose_repeating(body)
    eager = EagerStep(body, compiled=config.train.compile and compiles(body))
    if images.device.type == "cuda" and config.train.graph == "auto":
        return graphed(eager, record)
    return eager


def choose_repeating(body: Body) -> None:
    """Leave kernels that repeat their bits where one of the step has no such form."""
    start = Kept(body.state)
    body.inputs.fill(body.state.step)
    try:
        with body.arithmetic():
            body.gradients()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        body.repeats = False
        _left("resume to the bit", "with kernels that do not repeat their bits", error)
    start.restore()
    body.state.optimizer.zero_grad()


def compiles(body: Body) -> bool:
    """Whether torch compiles the network of `body`, which takes what it makes."""
    start = Kept(body.state)
    body.inputs.fill(body.state.step)
    try:
        body.forward = torch.compile(body.state.model)
        with body.arithmetic():
            body.gradients()
    except Exception as error:
        body.forward = body.state.model
        _left("train.compile=true", "as it is", error)
    start.restore()
    body.state.optimizer.zero_grad()
    return body.forward is not body.state.model


def graphed(eager: EagerStep, recorder: Callable[[EagerStep], Replay]) -> Step:
    """A graph of the step, where TRIED steps of it give the bits of as many eager ones; else the eager step.

    `recorder` gives what replays the body on inputs that have been filled; it may take steps to warm up.
    """
    body = eager.body
    begin, start = body.state.step, Kept(body.state)
    graph: Step = eager
    try:
        taken = GraphStep(body.inputs, recorder(eager), compiled=eager.compiled)
        found = []
        for step in (eager, taken):
            start.restore()
            for ahead in range(TRIED):
                step(begin + ahead)
            found.append(Kept(body.state))
        if found[0].same(found[1]):
            graph = taken
        else:
            _left("train.graph=auto", "without one", "its first steps gave other bits than eager ones")
    except Exception as error:
        _left("train.graph=auto", "without one", error)
    start.restore()
    body.state.optimizer.zero_grad()
    return graph


def record(eager: EagerStep) -> Replay:
    """A CUDA graph of the body.

    As torch's notes on CUDA graphs ask: steps on a side stream first, gradients that the recording makes anew in the
    graph's own memory, and the generator registered. Another thread may use the device meanwhile.
    """
    body = eager.body
    device = body.inputs.t.device
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(body.inputs.dropout)
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):  # also where recording fails
        side, now = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        side.wait_stream(now)
        with torch.cuda.stream(side):
            for ahead in range(TRIED):
                eager(body.state.step + ahead)
            body.state.optimizer.zero_grad()
        now.wait_stream(side)
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            body()
    loss = body.state.loss  # at its place in the graph's memory

    def replay() -> None:
        graph.replay()
        body.state.loss = loss

    return replay


class Kept:
    """Copies of the tensors that a step changes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._copies = {name: tensor.clone() for name, tensor in _changed(state).items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Put them back where they were; moments that have come since begin at 0, which is what an optimizer takes."""
        for name, tensor in _changed(self._state).items():
            tensor.copy_(self._copies[name]) if name in self._copies else tensor.zero_()

    def same(self, other: "Kept") -> bool:
        """Whether two hold the same bits."""
        mine, theirs = self._copies, other._copies
        return mine.keys() == theirs.keys() and all(
            torch.equal(_bits(mine[name]), _bits(theirs[name])) for name in mine
        )


def _changed(state: State) -> dict[str, Tensor]:
    tensors = {f"model.{name}": tensor.detach() for name, tensor in state.model.named_parameters()}
    tensors |= {f"buffer.{name}": tensor for name, tensor in state.model.named_buffers()}
    for averaged, weights in state.averages.items():
        tensors |= {f"{averaged}.{name}": tensor for name, tensor in weights.items()}
    for index, weight in enumerate(state.model.parameters()):
        moments = state.optimizer.state.get(weight, {})
        tensors |= {f"{index}.{name}": value for name, value in moments.items() if isinstance(value, Tensor)}
    return tensors | {"loss": state.loss, "sound": state.sound, "late": state.late}


def _bits(tensor: Tensor) -> Tensor:
    """As integers, so that NaN equals itself and 0 is not -0."""
    return tensor.view(torch.int32) if tensor.dtype == torch.float32 else tensor


def _left(option: str, instead: str, why: Exception | str) -> None:
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {str(why).strip().partition(chr(10))[0]}"
    warnings.warn(f"{option} is left, and the step runs {instead}: {reason}", UserWarning, stacklevel=4)
