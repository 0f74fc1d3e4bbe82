"""Attention written out and 16-bit dropout: the same law as torch's own, in train mode alone, and kept by a run."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.models import build
from diffmem.models.unet_reference import Attention
from diffmem.training import kernels
from diffmem.training.kernels import TOKENS, Dropout, Kernels, choose, install, matmul_attention
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")
FAST = Kernels("matmul", "16-bit")
ATTENTION = {"multipliers": [1], "attention": [1], "mid_attention": True, "heads": 2, "dropout": 0.25}
HALF = {"precision": "bf16", "steps": 4}


@pytest.mark.parametrize("positions", [TOKENS.start - 1, TOKENS.start, 100, TOKENS.stop])
def test_attention_written_out_is_attention(positions: int) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, positions, 5, dtype=torch.float64, requires_grad=True) for _ in range(3))
    found, expected = matmul_attention(query, key, value), F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), (query, key, value)),
        torch.autograd.grad((expected * weight).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions of each call of torch's own attention from here on."""
    calls: list[int] = []
    own = F.scaled_dot_product_attention

    def counted(query: Tensor, *words: object, **options: object) -> Tensor:
        calls.append(query.shape[-2])
        return own(query, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    return calls


@pytest.mark.parametrize("name", ["unet", "unet_reference"])
def test_a_network_attends_the_same_way_in_evaluation_and_to_rounding_in_training(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(model={**ATTENTION, "name": name, "dropout": 0.0})
    torch.manual_seed(0)
    model = build(config.model, config.data.shape)
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([1, 5, 19])
    calls = count(monkeypatch)
    before = model.eval()(x, t), model.train()(x, t)
    usual = len(calls)
    assert usual > 0
    install(model, FAST, torch.Generator())
    assert torch.equal(model.eval()(x, t), before[0])
    evaluated = len(calls)
    torch.testing.assert_close(model.train()(x, t), before[1], rtol=1e-4, atol=1e-5)
    if name == "unet":  # the study's layers hold the function itself
        assert (evaluated, len(calls)) == (usual + usual // 2, evaluated)
    else:
        assert all(layer.mix is matmul_attention for layer in model.modules() if isinstance(layer, Attention))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("short", [False, True])
def test_dropout_keeps_a_share_and_the_mean(p: float, short: bool) -> None:
    """Counts of 0 within 4 standard errors; neighbours, which share a 64-bit word, are dropped independently."""
    layer, x = Dropout(p, torch.Generator().manual_seed(1), channels=False, short=short), torch.ones(3, 7, 101, 47)
    out = layer(x).flatten()
    zero = (out == 0).double()
    error = (p * (1 - p) / len(out)) ** 0.5
    assert abs(float(zero.mean()) - p) < 4 * error + 2**-17
    assert out.max() == pytest.approx(1 / (1 - p), rel=1e-3)
    together = float((zero[1:] * zero[:-1]).mean())
    assert abs(together - p**2) < 4 * (p**2 / len(out)) ** 0.5
    assert layer.eval()(x) is x


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_dropout_of_any_number_of_values(size: int) -> None:
    layer = Dropout(0.5, torch.Generator(), channels=False, short=True)
    assert layer(torch.ones(1, size)).shape == (1, size)


def test_channels_are_dropped_whole() -> None:
    config = tiny(model={**ATTENTION, "name": "unet_reference", "attention": []})
    model = build(config.model, config.data.shape)
    install(model, FAST, torch.Generator())
    layers = [layer for layer in model.modules() if isinstance(layer, Dropout)]
    assert layers
    assert not any(isinstance(layer, (nn.Dropout, nn.Dropout2d)) for layer in model.modules())
    out = layers[0](torch.ones(4, 6, 5, 5)).flatten(2)
    assert torch.equal(out.amin(-1), out.amax(-1))
    assert 0 < int((out[..., 0] == 0).sum()) < 24


def test_what_is_chosen_follows_from_settings_and_device() -> None:
    assert choose(tiny(train={"precision": "bf16"}), CPU) == FAST
    assert choose(tiny(), CPU) == choose(tiny(train={"precision": "bf16"}), torch.device("cuda")) == Kernels()


def segments(config: Config) -> list[dict[str, object]]:
    found: list[dict[str, object]] = plan(config).run.read_meta()["segments"]
    return found


@pytest.mark.slow
def test_a_run_keeps_the_kernels_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that an earlier version began, whose segments say nothing of them."""
    config = tiny(tmp_path, model=ATTENTION, train=HALF)
    execute(plan(config))
    (first,) = segments(config)
    assert first["kernels"] == {"attention": "matmul", "dropout": "16-bit"}
    assert (first["precision"], first["graph"], first["compile"]) == ("bf16", False, False)
    used: list[Kernels] = []
    own = kernels.install

    def seen(model: nn.Module, chosen: Kernels, generator: torch.Generator) -> None:
        used.append(chosen)
        own(model, chosen, generator)

    monkeypatch.setattr("diffmem.training.step.install", seen)
    run = plan(config).run
    meta = run.read_meta()
    for name in ("kernels", "precision", "graph", "compile"):
        del meta["segments"][0][name]
    run.write_meta(meta)
    execute(plan(tiny(tmp_path, model=ATTENTION, train={**HALF, "steps": 6})))  # warns of nothing
    assert used == [Kernels()]
    assert segments(config)[1]["kernels"] == Kernels().stored()
    execute(plan(tiny(tmp_path, model=ATTENTION, train={**HALF, "steps": 8})))
    assert used == [Kernels(), Kernels()]


@pytest.mark.parametrize("said", [{"attention": "flash", "dropout": "bernoulli"}, {"attention": "sdpa"}, 3, None, []])
def test_kernels_of_another_version_are_refused(said: object) -> None:
    with pytest.raises(InputError, match=r"meta.json have kernels=.*: go on with the version of diffmem that wrote it"):
        kernels.read({"kernels": said})
