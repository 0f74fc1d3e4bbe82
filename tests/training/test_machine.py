"""Threads where none are asked for: one for a small network, all cores for a large one; what a device computes with."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diffmem.config.compose import compose
from diffmem.models import parameters
from diffmem.training import machine
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import outcome_bytes, tiny

CORES = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    machine.set_threads(before)


def test_the_line_between_small_and_large_lies_between_the_shipped_networks() -> None:
    tiny, points = compose(["model=unet_tiny"]), compose(["data=mixture", "model=resmlp"])
    for config in (tiny, points):
        assert parameters(config.model, config.data.shape) < machine.SMALL
    study = compose(["experiment=study"])
    assert parameters(study.model, study.data.shape) > machine.SMALL
    assert machine.default_threads(machine.SMALL - 1) == 1
    assert machine.default_threads(machine.SMALL) == CORES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model=unet_tiny"], 1),
        (["model=unet_tiny", "threads=3"], 3),
        (["model=unet"], CORES),
        (["model=unet", "threads=1"], 1),
    ],
)
def test_a_run_takes_them(words: list[str], expected: int) -> None:
    machine.configure(compose(["device=cpu", *words]))
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_tf32_is_had_where_the_device_has_it(
    capability: tuple[int, int], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    for precision in ("fp32", "tf32", "bf16"):
        config = compose([f"train.precision={precision}"])
        on_gpu = machine.precision_of(config, torch.device("cuda", 0))
        assert on_gpu == (precision if has or precision != "tf32" else "fp32")
    assert machine.precision_of(compose(["train.precision=tf32"]), torch.device("cpu")) == "fp32"


def test_a_step_on_cuda_computes_with_tf32_where_asked_and_repeats_its_bits() -> None:
    """The switches alone, which a machine without CUDA has too; they are as before after an error."""
    cuda = torch.device("cuda", 0)

    def switches() -> tuple[bool, bool, bool]:
        return (
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            torch.are_deterministic_algorithms_enabled(),
        )

    machine.full_float32()
    outside = switches()
    assert outside == (False, False, False)
    for precision, tf32 in (("fp32", False), ("tf32", True), ("bf16", False)):
        with machine.arithmetic(precision, cuda):
            assert switches() == (tf32, tf32, True)
        with machine.arithmetic(precision, torch.device("cpu")):
            assert switches() == outside
    with pytest.raises(ZeroDivisionError), machine.arithmetic("tf32", cuda):
        raise ZeroDivisionError
    assert switches() == outside


@pytest.mark.slow
def test_tf32_on_a_cpu_is_fp32_and_says_so(tmp_path: Path) -> None:
    runs = {}
    for precision in ("fp32", "tf32"):
        planned = plan(tiny(tmp_path, train={"precision": precision, "steps": 2}))
        if precision == "tf32":
            with pytest.warns(UserWarning, match="train.precision=tf32: cpu has none, and trains in fp32"):
                execute(planned)
        else:
            execute(planned)
        runs[precision] = outcome_bytes(planned.run.path)
        assert planned.run.read_meta()["segments"][0]["precision"] == "fp32"
    assert len(list(tmp_path.iterdir())) == 2
    assert runs["tf32"] == runs["fp32"]
