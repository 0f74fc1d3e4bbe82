"""Every model in the table: the call, gradients, independence of samples, and the way to disk and back."""

import dataclasses
import hashlib
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.special import erf
from torch import Tensor, nn

from diffmem.config.model import MODELS, ModelConfig, ResMLPModel, UNetModel, UNetReferenceModel
from diffmem.config.options import build_variant
from diffmem.errors import InputError
from diffmem.models import NETWORKS, build, parameters
from diffmem.models.io import load_model, save_model

SIZE: dict[str, Any] = {
    "width": 16,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention": (2,),
    "mid_attention": True,
    "heads": 4,
    "groups": 8,
    "dropout": 0.1,
}
CASES: dict[str, tuple[ModelConfig, tuple[int, ...]]] = {
    "unet": (UNetModel(**SIZE), (2, 8, 8)),
    "unet_reference": (UNetReferenceModel(**SIZE), (2, 8, 8)),
    "resmlp": (ResMLPModel(width=16, blocks=2), (6,)),
}
IMAGE_CASES = [name for name, (_, shape) in CASES.items() if len(shape) == 3]
CONFIGS = Path(__file__).parents[2] / "configs" / "model"

every_model = pytest.mark.parametrize("name", CASES)


def make(name: str, seed: int = 0) -> nn.Module:
    cfg, shape = CASES[name]
    torch.manual_seed(seed)
    return build(cfg, shape).eval()


def batch(name: str, count: int = 3) -> tuple[Tensor, Tensor]:
    noise = torch.Generator().manual_seed(1)
    return torch.randn(count, *CASES[name][1], generator=noise), torch.randint(0, 1000, (count,), generator=noise)


def shipped(name: str) -> ModelConfig:
    cfg: ModelConfig = build_variant(MODELS, yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()), "model")
    return cfg


def files(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def test_every_name_is_in_the_table_and_tested() -> None:
    assert set(CASES) == set(MODELS)
    assert set(NETWORKS) == set(MODELS.values())


@every_model
@pytest.mark.parametrize("count", [1, 5])
def test_epsilon_has_the_shape_of_x(name: str, count: int) -> None:
    x, t = batch(name, count)
    out = make(name)(x, t)
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    assert out.isfinite().all()


@every_model
def test_gradient_reaches_every_parameter(name: str) -> None:
    model = make(name).train()
    x, t = batch(name, 8)
    model(x, t).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None, key
        # Softmax is blind to a shift of all its logits, so a bias of the keys has no gradient but rounding.
        assert key.endswith("to_k.bias") or parameter.grad.norm() > 1e-6, key


@every_model
def test_a_sample_does_not_see_the_others(name: str) -> None:
    model = make(name)
    x, t = batch(name, 4)
    together = model(x, t)
    alone = torch.cat([model(x[i : i + 1], t[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@every_model
def test_parameters_are_counted_without_making_the_network(name: str) -> None:
    before = torch.get_rng_state()
    assert parameters(*CASES[name]) == sum(weight.numel() for weight in make(name).parameters() if weight.requires_grad)
    parameters.cache_clear()
    torch.set_rng_state(before)
    parameters(*CASES[name])
    assert torch.equal(torch.get_rng_state(), before)


@every_model
def test_t_matters(name: str) -> None:
    model = make(name)
    x, _ = batch(name, 2)
    early, late = (model(x, torch.full((2,), t)) for t in (10, 700))
    assert (early - late).abs().max() > 1e-3


@every_model
def test_the_seed_decides_the_weights(name: str) -> None:
    first, again, other = (make(name, seed).state_dict() for seed in (0, 0, 1))
    assert all(first[key].equal(again[key]) for key in first)
    assert not all(first[key].equal(other[key]) for key in first)


@every_model
def test_bf16_autocast_stays_near_fp32(name: str) -> None:
    model = make(name)
    x, t = batch(name, 8)
    exact = model(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x, t)
    # bf16 keeps 8 bits: about 2^-8 a layer, adding up over some tens of layers.
    assert (rough.float() - exact).norm() < 0.05 * exact.norm()
    rough.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", IMAGE_CASES)
def test_channels_last_gives_the_same_output_and_the_same_files(name: str, tmp_path: Path) -> None:
    model, (x, t) = make(name), batch(name)
    save_model(model, *CASES[name], tmp_path / "contiguous")
    expected = model(x, t)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last), t), expected, atol=1e-4, rtol=0)
    save_model(model, *CASES[name], tmp_path / "channels_last")
    assert files(tmp_path / "contiguous") == files(tmp_path / "channels_last")


@every_model
def test_load_gives_back_what_was_saved_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, (x, t) = make(name, seed=5), batch(name)
    save_model(model, *CASES[name], tmp_path / "new" / "checkpoint")
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    loaded = load_model(tmp_path / "new" / "checkpoint", *CASES[name])
    assert torch.random.get_rng_state().equal(state)
    assert not loaded.training
    assert loaded(x, t).equal(model(x, t))


SAVE_IN_ANOTHER_PROCESS = f"""
import sys, pathlib
import torch
from diffmem.config.model import ResMLPModel, UNetModel, UNetReferenceModel
from diffmem.models import build
from diffmem.models.io import save_model
assert "diffusers" not in sys.modules, "diffusers is imported before a model needs it"
for name, (cfg, shape) in {CASES!r}.items():
    torch.manual_seed(0)
    save_model(build(cfg, shape), cfg, shape, pathlib.Path(sys.argv[1]) / name)
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", SAVE_IN_ANOTHER_PROCESS, str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in CASES:
        for number in range(4):  # safetensors orders several metadata keys anew at each call
            save_model(make(name), *CASES[name], tmp_path / name)
            assert files(tmp_path / name) == files(tmp_path / "other" / name), f"{name}, write {number}"


def test_unet_is_saved_as_diffusers_saves_it(tmp_path: Path) -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel

    model, (x, t) = make("unet"), batch("unet")
    save_model(model, *CASES["unet"], tmp_path / "ours")
    net = model.net
    assert isinstance(net, UNet2DModel)
    net.save_pretrained(tmp_path / "theirs")
    assert files(tmp_path / "ours") == files(tmp_path / "theirs")
    opened = UNet2DModel.from_pretrained(tmp_path / "ours", local_files_only=True)
    assert opened(x, t).sample.equal(model(x, t))


@every_model
@pytest.mark.parametrize("harm", ["weights missing", "weights cut", "weights pickled", "config missing", "config cut"])
def test_a_damaged_checkpoint_is_refused(name: str, harm: str, tmp_path: Path) -> None:
    save_model(make(name), *CASES[name], tmp_path)
    kind, deed = harm.split()
    path = next(tmp_path.glob("*.safetensors" if kind == "weights" else "config.json"))
    if deed == "missing":
        path.unlink()
    elif deed == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        torch.save(make(name).state_dict(), path)
    with pytest.raises(InputError, match=f"{path.name} cannot be read"):
        load_model(tmp_path, *CASES[name])


@pytest.mark.parametrize("change", [{"width": 24}, {"heads": 2}, {"mid_attention": False}, {"groups": 4}])
@pytest.mark.parametrize("name", IMAGE_CASES)
def test_a_checkpoint_of_other_settings_is_refused(name: str, change: dict[str, int], tmp_path: Path) -> None:
    cfg, shape = CASES[name]
    save_model(make(name), cfg, shape, tmp_path)
    with pytest.raises(InputError, match="settings"):
        load_model(tmp_path, dataclasses.replace(cfg, **change), shape)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    cfg, shape = CASES["resmlp"]
    wide = dataclasses.replace(cfg, width=32)
    save_model(build(wide, shape), wide, shape, tmp_path / "wide")
    save_model(make("resmlp"), cfg, shape, tmp_path / "narrow")
    (tmp_path / "narrow" / "config.json").write_bytes((tmp_path / "wide" / "config.json").read_bytes())
    with pytest.raises(InputError, match="does not hold the weights of model=resmlp with width 32"):
        load_model(tmp_path / "narrow", wide, shape)


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("unet", (1, 32, 32), 4_023_000),  # published for this shape: 4.023 M
        ("unet_reference", (1, 32, 32), 4_055_000 - 32_000),  # published: 4.055 M, with 1000 x 32 sines and cosines
        ("unet_tiny", (1, 8, 8), 160_000),
        ("resmlp", (8,), 2 * 128 * 8 + 128 + 8 + 3 * (2 * 128 * 129 + 2 * 128)),
    ],
)
def test_shipped_configs_have_their_parameter_counts(name: str, shape: tuple[int, ...], count: int) -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {"unet", "unet_reference", "unet_tiny", "resmlp"}
    model = build(shipped(name), shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(count, abs=1000)


def test_unet_has_attention_where_asked_and_four_heads_at_the_deepest_level() -> None:
    net = build(shipped("unet"), (1, 32, 32)).net
    heads = {key: layer.heads for key, layer in net.named_modules() if type(layer).__name__ == "Attention"}  # type: ignore[union-attr]
    down = {f"down_blocks.{level}.attentions.{i}": 2 * level for level in (1, 2) for i in (0, 1)}
    up = {f"up_blocks.{level}.attentions.{i}": 4 - 2 * level for level in (0, 1) for i in (0, 1, 2)}
    assert heads == down | up | {"mid_block.attentions.0": 4}
    assert not any("attentions" in key for key, _ in build(shipped("unet_tiny"), (1, 8, 8)).named_parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "unet", "attention": (1,), "heads": 1}, "model.heads=1 .* 16 channels of level 1"),
        ({"name": "unet_reference", "attention": (1,), "heads": 32}, "model.heads=32 .* 16 channels of level 1"),
        ({"name": "unet_reference", "width": 5, "groups": 5, "heads": 5}, "model.width=5"),
        ({"name": "resmlp"}, "model.multipliers=.* does not apply to model=resmlp"),
        ({"name": "resmlp", "multipliers": None, "attention": None, "mid_attention": None}, "model.heads=4"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_variant(MODELS, {**SIZE, **change}, "model")


def test_resmlp_is_its_formula() -> None:
    """The module's docstring, in float64 numpy, entry by entry."""
    cfg, shape = ResMLPModel(width=7, blocks=3), (5,)
    model = build(cfg, shape)
    weights = {key: value.double().numpy() for key, value in model.state_dict().items()}
    x, t = torch.randn(4, 5), torch.tensor([0, 1, 40, 999])

    def linear(name: str, value: np.ndarray) -> np.ndarray:
        return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    embedding = np.empty((4, 7))
    for row, time in enumerate(t.tolist()):
        for column in range(7):
            angle = time / 10000 ** (2 * (column // 2) / 7)
            embedding[row, column] = math.sin(angle) if column % 2 else math.cos(angle)
    h = linear("first", x.double().numpy())
    for block in range(3):
        inner = linear(f"blocks.{block}.linear1", h + embedding)
        h = h + linear(f"blocks.{block}.linear2", inner * (1 + erf(inner / math.sqrt(2))) / 2)
        h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
        h = h * weights[f"blocks.{block}.norm.weight"] + weights[f"blocks.{block}.norm.bias"]
    # float32 angles up to 999 carry errors of 999 * 2^-24, about 6e-5
    np.testing.assert_allclose(model(x, t).detach().numpy(), linear("last", h), atol=1e-4)


def test_the_mixture_network_has_the_parameters_that_the_study_counts() -> None:
    """102,024 at W = 128 in d = 8: 8 W + W in, three blocks of 2 (W^2 + W) + 2 W, 8 W + 8 out."""
    assert parameters(shipped("resmlp"), (8,)) == 102_024


def test_the_mixture_network_told_a_label_or_none() -> None:
    """With no label it is the network of the last row; without `classes` it is the one it was."""
    torch.manual_seed(0)
    told = build(ResMLPModel(width=16, blocks=2, classes=2), (6,)).eval()
    x, t = batch("resmlp", 4)
    labels = torch.tensor([0, 1, 2, 2])
    out, plain = told(x, t, labels), told(x, t)
    torch.testing.assert_close(out[2:], plain[2:])
    assert (out[:2] - plain[:2]).abs().amax(1).min() > 1e-3
    bare = make("resmlp").state_dict()
    assert all(torch.equal(weight, bare[name]) for name, weight in told.state_dict().items() if name in bare)
