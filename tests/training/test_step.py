"""The step: what it costs in launches and looks, and that a graph is used only where it gives an eager step's bits."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training import snapshot, step
from diffmem.training.initial import State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.step import Body, EagerStep, Inputs, Replay, Step, choose_repeating, graphed, prepare
from diffmem.training.train import train
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")
MLP: dict[str, Any] = {
    "data": {"name": "mixture", "n": 8, "dim": 4, "mu": 1.0, "sigma": 1.0, "size": None, "channels": None},
    "model": {"name": "resmlp", "width": 8, "multipliers": None, "mid_attention": None, "groups": None},
}
AVERAGED = {"ema": "power", "ema_sigma": 0.1, "steps": 300}
FULL: dict[str, Any] = {"model": {"dropout": 0.3}, "train": AVERAGED}  # with all that a step may have


def images(config: Config) -> Tensor:
    return torch.randn(config.data.n, *config.data.shape, generator=torch.Generator().manual_seed(1))


def begun(config: Config) -> tuple[State, Step]:
    state = initial_state(config, CPU)
    return state, prepare(state, images(config), Process.from_config(config.diffusion), config, Kernels())


def advance(state: State, take: Step, until: int) -> None:
    for moment in train(state, take):
        if moment.step == until:
            break


def taken(state: State, take: Step, until: int) -> bytes:
    advance(state, take, until)
    return snapshot.to_bytes(state)


class Counted(TorchDispatchMode):
    """Counts what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("config", "dispatched"),
    [
        (tiny(train={"steps": 300}), 364),
        (tiny(**FULL), 391),
        (tiny(**MLP, train={"steps": 300}), 92),
    ],
    ids=["unet", "unet, dropout and average", "resmlp"],
)
def test_a_step_dispatches_reads_and_copies_no_more_than_it_did(config: Config, dispatched: int) -> None:
    """Over 20 steps with the look at the losses that comes every 100; views and bookkeeping count too.

    A change that lowers a number lowers it here.
    """
    state, take = begun(config)
    state.step = 89
    advance(state, take, 90)
    with Counted() as counted:
        advance(state, take, 110)
    found = counted.found
    assert found["_local_scalar_dense"] <= 1  # whether the losses were finite
    assert found["copy_"] + found["clone"] == 0
    assert found["_to_copy"] <= 20  # of t, to float32, in the network
    assert found["index_select"] + found["lift_fresh"] == 0
    assert found.total() <= 20 * dispatched + 1, found


def test_batches_come_in_blocks_and_are_those_of_every_step_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def counted(seed: int, first: int, steps: int, n: int, batch: int) -> Tensor:
        asked.append((first, steps))
        return batches(seed, first, steps, n, batch)

    batches = rng.batches
    monkeypatch.setattr(rng, "batches", counted)
    config = tiny(data={"n": 5}, train={"steps": 10_000, "batch": 3})
    data = torch.arange(5.0)[:, None, None, None].expand(5, *config.data.shape).contiguous()
    inputs = Inputs(data, Process(torch.ones(20)), config)  # no noise: x_t are the images
    for now in [0, 1, 4095, 4096, 9999, 10_001, 2]:
        inputs.fill(now)
        assert torch.equal(inputs.x_t[:, 0, 0, 0].long(), batches(config.seed, now, 1, 5, 3)[0])
    assert asked == [(0, 4096), (4096, 4096), (9999, 1), (10_001, 4096), (2, 4096)]
    monkeypatch.setattr(step, "BLOCK_INDICES", 9)
    inputs.fill(7000)
    assert asked[-1] == (7000, 3)


class Recorder:
    """Stands for a device's recorder: warms up, and replays the body as it is, or with a fault."""

    def __init__(self, fault: Callable[[State], None] | None = None, fails: bool = False) -> None:
        self.fault, self.fails = fault, fails

    def __call__(self, eager: EagerStep) -> Replay:
        eager(eager.body.state.step)
        if self.fails:
            raise RuntimeError("an operation is not permitted when stream is capturing\nand more")

        def replay() -> None:
            eager.body()
            if self.fault:
                self.fault(eager.body.state)

        return replay


def eager(config: Config, state: State) -> EagerStep:
    made = prepare(state, images(config), Process.from_config(config.diffusion), config, Kernels())
    assert isinstance(made, EagerStep)
    return made


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}},
}


@pytest.mark.parametrize("begin", [0, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_graph_with_the_same_bits_is_used_and_trying_it_changes_nothing(optimizer: str, begin: int) -> None:
    config = tiny(**FULL, **OPTIMIZERS[optimizer])
    expected = taken(*begun(config), 9)
    state = initial_state(config, CPU)
    before = eager(config, state)
    advance(state, before, begin)
    graph = graphed(before, Recorder())
    assert graph.graph
    assert state.step == begin
    assert taken(state, graph, 9) == expected


def shifts(state: State) -> None:
    """The smallest change of one weight."""
    weight = next(state.model.parameters()).detach().flatten()
    weight[0] = torch.nextafter(weight[0], torch.tensor(torch.inf))


def flips(state: State) -> None:
    state.sound.neg_()  # -0.0 equals 0.0 and has other bits


@pytest.mark.parametrize(
    ("recorder", "why"),
    [
        (Recorder(shifts), "its first steps gave other bits than eager ones"),
        (Recorder(flips), "its first steps gave other bits than eager ones"),
        (Recorder(fails=True), "RuntimeError: an operation is not permitted when stream is capturing$"),
    ],
    ids=["a bit of a weight", "the sign of a zero", "recording fails"],
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_graph_that_fails_or_differs_is_left_with_one_warning(optimizer: str, recorder: Recorder, why: str) -> None:
    config = tiny(**FULL, **OPTIMIZERS[optimizer])
    expected = taken(*begun(config), 9)
    state = initial_state(config, CPU)
    before = eager(config, state)
    advance(state, before, 3)
    with pytest.warns(UserWarning, match=f"train.graph=auto is left, and the step runs without one: {why}") as warned:
        left = graphed(before, recorder)
    assert len(warned) == 1
    assert not left.graph
    assert taken(state, left, 9) == expected


@pytest.mark.parametrize("works", [True, False])
def test_compiling_is_used_where_it_works_and_left_with_one_warning_where_not(
    works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def compiled(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        def call(x: Tensor, t: Tensor) -> Tensor:
            calls.append(len(x))
            if not works:
                raise RuntimeError("no compiler here")
            out: Tensor = model(x, t)
            return out

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    plain = tiny(**FULL)
    expected = taken(*begun(plain), 4)
    assert not calls
    config = tiny(model={"dropout": 0.3}, train={**AVERAGED, "compile": True})
    if works:
        state, take = begun(config)
    else:
        with pytest.warns(UserWarning, match="train.compile=true is left, and the step runs as it is: .*no compiler"):
            state, take = begun(config)
    assert take.compiled == works
    assert taken(state, take, 4) == expected
    assert len(calls) == (5 if works else 1)
    assert config.trajectory() == plain.trajectory()  # recorded, not hashed


@pytest.mark.parametrize(
    "says", ["bmm_kernel does not have a deterministic implementation, but you set", "out of memory"]
)
def test_kernels_without_a_form_that_repeats_are_taken_with_one_warning(says: str) -> None:
    config = tiny(**FULL)
    expected = taken(*begun(config), 4)
    state, take = begun(config)
    assert isinstance(take, EagerStep)

    def fails(x: Tensor, t: Tensor) -> Tensor:
        raise RuntimeError(says)

    take.body.forward = fails
    if "deterministic" in says:
        with pytest.warns(UserWarning, match="resume to the bit is left, .* do not repeat their bits: .*bmm_kernel"):
            choose_repeating(take.body)
    else:
        with pytest.raises(RuntimeError, match=says):
            choose_repeating(take.body)
    assert take.body.repeats == ("deterministic" not in says)
    take.body.forward = state.model
    assert taken(state, take, 4) == expected


def test_nothing_that_a_step_changes_moves() -> None:
    """A graph knows addresses: weights, moments and averages stay at theirs, and so do the inputs."""
    config = tiny(**FULL)
    state, take = begun(config)
    assert isinstance(take, EagerStep)
    body: Body = take.body
    advance(state, take, 2)

    def places() -> list[int]:
        moments = [value for values in state.optimizer.state.values() for value in values.values()]
        inputs = [
            value for value in vars(body.inputs).values() if isinstance(value, Tensor) and value.is_floating_point()
        ]
        held = [
            *state.model.parameters(),
            *(weight for averaged in state.averages.values() for weight in averaged.values()),
            *moments,
            *inputs,
            body.inputs.t,
            state.sound,
            state.late,
        ]
        return [tensor.data_ptr() for tensor in held]

    before = places()
    assert len(before) > 60
    advance(state, take, 6)
    assert places() == before
