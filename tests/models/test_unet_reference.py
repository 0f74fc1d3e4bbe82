"""The study's U-Net: a golden made by its own code, the names of its checkpoints, and what is refused."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diffmem.config.model import UNetReferenceModel
from diffmem.errors import InputError
from diffmem.models.unet_reference import (
    SINUSOIDS,
    Attention,
    Residual,
    UNetReference,
    load_reference_state_dict,
    study_names,
)

ROOT = Path(__file__).parents[2]
GOLDEN: dict[str, Any] = json.loads((ROOT / "tests/goldens/unet_reference.json").read_text())


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("reference_unet", ROOT / "benchmarks/reference_unet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sinusoids(width: int) -> Tensor:
    """Sines, then cosines, of 0..999 at frequencies from 1 down to 1/10000, in float64."""
    frequencies = torch.logspace(0, -4, width // 2, dtype=torch.float64)
    angles = torch.arange(1000, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


@pytest.fixture
def checkpoint() -> dict[str, Tensor]:
    """The golden's weights under the study's names."""
    formula = benchmark().formula
    weights = {name: formula(name, shape) for name, shape in GOLDEN["shapes"].items()}
    return weights | {SINUSOIDS: sinusoids(GOLDEN["case"][0])}


def small(**changes: Any) -> UNetReferenceModel:
    size = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (), "mid_attention": True}
    return UNetReferenceModel(**{**size, "heads": 4, "groups": 8, "dropout": 0.0, **changes})


def as_study(model: UNetReference) -> dict[str, Tensor]:
    weights = {theirs: model.state_dict()[ours] for ours, theirs in study_names(model).items()}
    return weights | {SINUSOIDS: sinusoids(model.width)}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_output_is_that_of_the_study_s_own_code(checkpoint: dict[str, Tensor], prefix: str) -> None:
    model = load_reference_state_dict({prefix + name: tensor for name, tensor in checkpoint.items()})
    x = benchmark().images(GOLDEN["case"], len(GOLDEN["t"]))
    expected = torch.tensor(GOLDEN["output"]).reshape(x.shape)
    assert expected.std() > 0.1
    torch.testing.assert_close(model(x, torch.tensor(GOLDEN["t"])), expected, atol=1e-5, rtol=0)


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_size_is_read_off_the_weights(data: st.DataObject) -> None:
    multipliers = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=3).map(tuple), "multipliers")
    cfg = small(
        width=data.draw(st.sampled_from([8, 16]), "width"),
        multipliers=multipliers,
        blocks=data.draw(st.integers(1, 2), "blocks"),
        attention=tuple(sorted(data.draw(st.sets(st.integers(1, len(multipliers))), "attention"))),
        mid_attention=data.draw(st.booleans(), "mid_attention"),
    )
    channels = data.draw(st.sampled_from([1, 3]), "channels")
    model = UNetReference(cfg, (channels, 8, 8)).eval()
    x, t = torch.randn(2, channels, 8, 8), torch.tensor([1, 999])
    assert load_reference_state_dict(as_study(model))(x, t).equal(model(x, t))


def test_a_gate_multiplies_what_attention_gives_before_the_last_projection() -> None:
    """By hand, and by its limits: an open gate (a bias of 100) is no gate, a closed one leaves the last bias alone."""
    torch.manual_seed(0)
    gated, plain = Attention(16, heads=4, groups=8, gate=True), Attention(16, heads=4, groups=8)
    assert gated.gate is not None
    nn.init.normal_(gated.out.bias)
    plain.load_state_dict({name: tensor for name, tensor in gated.state_dict().items() if not name.startswith("gate")})
    x = torch.randn(2, 16, 3, 5)
    u = plain.norm(x).flatten(2).transpose(1, 2)
    q, k, v = plain.qkv(u).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 1, 4)
    mixed = ((q @ k.transpose(-1, -2) / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
    expected = x + gated.out(mixed * torch.sigmoid(gated.gate(u))).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(gated(x), expected)
    nn.init.zeros_(gated.gate.weight)
    for bias, limit in ((100.0, plain(x)), (-100.0, x + gated.out.bias[:, None, None])):
        nn.init.constant_(gated.gate.bias, bias)
        torch.testing.assert_close(gated(x), limit)


def test_attention_is_torch_s_own_layer_with_its_initialization() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(16, heads=4, groups=8), nn.MultiheadAttention(16, 4, batch_first=True)
    bound = math.sqrt(6 / (16 + 48))  # Glorot: 16 in, three times 16 out
    for start in range(0, 48, 16):  # queries, keys and values alike
        assert 0.95 * bound < ours.qkv.weight[start : start + 16].abs().max() <= bound
    assert not ours.qkv.bias.any()
    assert not ours.out.bias.any()
    nn.init.normal_(ours.qkv.bias)
    nn.init.normal_(ours.out.bias)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x = torch.randn(2, 16, 3, 5)
    pixels = ours.norm(x).reshape(2, 16, 15).permute(0, 2, 1)
    expected = x + theirs(pixels, pixels, pixels)[0].permute(0, 2, 1).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-6, rtol=0)


def test_dropout_zeroes_whole_channels_and_only_in_training() -> None:
    torch.manual_seed(0)
    model = UNetReference(small(dropout=0.5), (1, 8, 8))
    seen: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, Residual):
            module.conv2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, t = torch.randn(4, 1, 8, 8), torch.arange(4)
    model(x, t)
    for features in seen:
        zero = (features == 0).flatten(2)
        assert zero.any(), "nothing was dropped"
        assert zero.all(2).equal(zero.any(2))
    seen.clear()
    model.eval()(x, t)
    assert not any((features == 0).any() for features in seen)


def test_a_missing_weight_is_named(checkpoint: dict[str, Tensor]) -> None:
    del checkpoint["bottleneck_blocks.1.dense.bias"]
    checkpoint["ema.decay"] = torch.zeros(1)
    with pytest.raises(InputError, match=r"missing: bottleneck_blocks\.1\.dense\.bias; unexpected: ema\.decay"):
        load_reference_state_dict(checkpoint)


def test_a_weight_too_many_is_named(checkpoint: dict[str, Tensor]) -> None:
    checkpoint |= {f"extra.{i}": torch.zeros(1) for i in range(5)}
    with pytest.raises(InputError, match=r"missing: none; unexpected: extra\.0, extra\.1, extra\.2 and 2 more"):
        load_reference_state_dict(checkpoint)


def test_a_missing_table_of_sinusoids_is_named(checkpoint: dict[str, Tensor]) -> None:
    del checkpoint[SINUSOIDS]
    with pytest.raises(InputError, match=rf"missing: {SINUSOIDS}; unexpected: none"):
        load_reference_state_dict(checkpoint)


def test_a_weight_of_another_shape_is_named(checkpoint: dict[str, Tensor]) -> None:
    checkpoint["final_block.conv.weight"] = torch.zeros(3, 8, 3, 3)
    with pytest.raises(InputError, match=r"final_block.conv.weight has shape \(3, 8, 3, 3\), where .* \(1, 8, 3, 3\)"):
        load_reference_state_dict(checkpoint)


@pytest.mark.parametrize("table", [torch.zeros(1000, 8), sinusoids(8).roll(4, 1), sinusoids(16), torch.zeros(8)])
def test_another_time_embedding_is_refused(checkpoint: dict[str, Tensor], table: Tensor) -> None:
    checkpoint[SINUSOIDS] = table
    with pytest.raises(InputError, match="not the table of sines and cosines"):
        load_reference_state_dict(checkpoint)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        nn.Linear(2, 2).state_dict(),
        {"init_conv.weight": torch.zeros(8, 1, 3, 3)},
        {"init_conv.weight": torch.zeros(8), "encoder_blocks.0.block1.conv.weight": torch.zeros(8, 8, 3, 3)},
        {
            "init_conv.weight": torch.zeros(8, 1, 3, 3),
            "encoder_blocks.0.block1.conv.weight": torch.zeros(8, 8, 3, 3),
            "encoder_blocks.1.downsample.weight": torch.zeros(8, 8, 3, 3),
        },
    ],
)
def test_weights_of_another_network_are_refused(weights: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="not a state dict of the study's U-Net"):
        load_reference_state_dict(weights)


@pytest.mark.parametrize("name", ["encoder_blocks.0.block1.conv.weight", "encoder_blocks.2.block1.conv.weight"])
def test_no_shape_of_the_encoder_escapes(checkpoint: dict[str, Tensor], name: str) -> None:
    checkpoint[name] = torch.zeros(3, 3, 3, 3)
    with pytest.raises(InputError):
        load_reference_state_dict(checkpoint)
