"""Runs of format 1 are found again: their ids, their stored settings, and what stands there for absent options."""

from pathlib import Path

import pytest
import yaml

from diffmem.config.compose import compose, groups
from diffmem.config.identity import FORMAT_1, MEASURES, evaluation, short_hash
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.store import RunDir

# `compose(words).run_id("abc")` and `.eval_id()`, printed by commit b44aa3e, when every group was one wide dataclass.
# An eval_id also holds the version of the measures since there is a second: rows that lack its columns must not be
# taken for rows that have them. The ids here are those of the first version, which old rows are set aside under.
IDS = [
    ("data=digits", "digits-n64-w32-s0-897b2bfa", "93a42d08"),
    ("data=mixture model=resmlp", "mixture-n1024-w128-s0-f04f47b9", "93a42d08"),
    ("data=celeba data.scale=1", "celeba-n1024-w32-s0-5f4c7dca", "93a42d08"),
    ("data=fashion_mnist data.scale=1", "fashion_mnist-n1024-w32-s0-1a6f6413", "93a42d08"),
    ("data=image_folder data.scale=1", "image_folder-n1024-w32-s0-6b1c4005", "93a42d08"),
    ("diffusion=ddpm_cosine", "digits-n64-w32-s0-7a867a42", "93a42d08"),
    ("eval=full", "digits-n64-w32-s0-897b2bfa", "9761ed63"),
    ("executor=here", "digits-n64-w32-s0-897b2bfa", "93a42d08"),
    ("experiment=study", "celeba-n1024-w32-s0-f58a8dff", "63e57949"),
    ("experiment=mixture", "mixture-n1024-w128-s0-2c74397d", "93a42d08"),
    ("train.ema=0.999 eval.weights=ema", "digits-n64-w32-s0-f0450071", "ee866358"),
    ("experiment=digits_law train.ema=null eval.weights=raw", "digits-n64-w16-s0-bfe54c45", "991e0f00"),
    ("model=unet_reference", "digits-n64-w32-s0-398a799a", "93a42d08"),
    ("model=unet_tiny", "digits-n64-w16-s0-f5f17bc0", "93a42d08"),
    ("optimizer=sgd", "digits-n64-w32-s0-f72078d3", "93a42d08"),
    ("optimizer=adamw", "digits-n64-w32-s0-233e50e2", "93a42d08"),
    ("sampler=ddpm", "digits-n64-w32-s0-897b2bfa", "5969e185"),
    ("sampler=reference", "digits-n64-w32-s0-897b2bfa", "7f1e366d"),
    (
        "data=celeba data.scale=1 model=unet_reference optimizer=adamw diffusion=ddpm_cosine data.index=1 seed=3 "
        "executor=here",
        "celeba-n1024-w32-s3-f8d0d698",
        "93a42d08",
    ),
    (
        "data=image_folder data.scale=1 model=unet_tiny optimizer=sgd diffusion=ddpm_linear data.index=1 seed=3 "
        "executor=here",
        "image_folder-n1024-w16-s3-9e84d7f6",
        "93a42d08",
    ),
]

# config.yaml of two runs of `diffmem train` by commit b44aa3e, and the command's overrides
DIGITS = """\
data:
  name: digits
  n: 8
  index: 0
  scale: 2.0
  root: null
  size: 8
  channels: 1
  dim: null
  mu: null
  sigma: null
model:
  name: unet
  width: 4
  blocks: 1
  multipliers:
  - 1
  attention: []
  mid_attention: false
  heads: 4
  groups: 2
  dropout: 0.2
diffusion:
  schedule: linear
  T: 20
  beta_first: 0.0001
  beta_last: 0.02
optimizer:
  name: adamw
  lr: 0.01
  momentum: 0.0
  beta1: 0.9
  beta2: 0.999
  weight_decay: 0.01
  clip: null
train:
  steps: 24
  batch: 4
  precision: fp32
  t: null
  ema: null
  channels_last: false
  save_seconds: 60.0
grid:
  kind: log
  per_decade: 4
  first: 2
stop:
  f_mem: null
  after: 2
sampler:
  name: ddim
  calls: 2
eval:
  samples: 128
  test_images: 64
  keep_samples: 5
  weights: raw
  t:
  - 2
  k: 0.3333333333333333
  quality: auto
  bootstrap: 10
  tile: 512
executor:
  name: here
  workers: null
  retries: 1
seed: 2
device: cpu
threads: 1
experiment: null
out: runs
"""
MIXTURE = """\
data:
  name: mixture
  n: 8
  index: 0
  scale: 1.0
  root: null
  size: null
  channels: null
  dim: 8
  mu: 1.0
  sigma: 1.0
model:
  name: resmlp
  width: 8
  blocks: 3
  multipliers: []
  attention: []
  mid_attention: true
  heads: 4
  groups: 8
  dropout: 0.0
diffusion:
  schedule: cosine
  T: 20
  beta_first: 0.0001
  beta_last: 0.02
optimizer:
  name: sgd
  lr: 0.01
  momentum: 0.95
  beta1: 0.9
  beta2: 0.999
  weight_decay: 0.0
  clip: null
train:
  steps: 6
  batch: 4
  precision: fp32
  t: null
  ema: null
  channels_last: false
  save_seconds: 60.0
grid:
  kind: log
  per_decade: 8
  first: 2
stop:
  f_mem: null
  after: 2
sampler:
  name: ddim
  calls: 2
eval:
  samples: 128
  test_images: 64
  keep_samples: 5
  weights: raw
  t:
  - 2
  k: 0.3333333333333333
  quality: auto
  bootstrap: 10
  tile: 512
executor:
  name: pool
  workers: null
  retries: 1
seed: 1
device: cpu
threads: 1
experiment: null
out: runs
"""
SHORT = [
    *("data.n=8", "diffusion.T=20", "train.batch=4", "grid.first=2", "sampler.calls=2", "eval.samples=128"),
    *("eval.test_images=64", "eval.t=[2]", "eval.bootstrap=10", "eval.keep_samples=5", "device=cpu", "threads=1"),
    "out=runs",
]
STORED = [
    (
        DIGITS,
        [
            *(*SHORT, "data.scale=2", "model=unet_tiny", "model.width=4", "model.multipliers=[1]", "model.groups=2"),
            *("model.dropout=0.2", "optimizer=adamw", "optimizer.lr=0.01", "train.steps=24", "grid.per_decade=4"),
            *("seed=2", "executor=here"),
        ],
    ),
    (
        MIXTURE,
        [
            *(*SHORT, "data=mixture", "model=resmlp", "model.width=8", "optimizer=sgd", "diffusion=ddpm_cosine"),
            *("train.steps=6", "seed=1", "executor=pool"),
        ],
    ),
]


@pytest.mark.parametrize(("words", "run_id", "eval_id"), IDS, ids=[words for words, *_ in IDS])
def test_ids_are_those_of_format_1(words: str, run_id: str, eval_id: str) -> None:
    config = compose(words.split())
    first_version = short_hash(evaluation(config.to_mapping(), 1))
    assert (config.run_id("abc"), first_version) == (run_id, eval_id)
    assert config.eval_id() == short_hash(evaluation(config.to_mapping(), MEASURES)) != first_version


@pytest.mark.parametrize("ema", ["null", "0.999"])
def test_a_width_that_no_average_uses_is_neither_stored_nor_hashed(ema: str) -> None:
    plain = compose([f"train.ema={ema}"])
    assert compose([f"train.ema={ema}", "train.ema_sigma=0.05"]) == plain
    assert "ema_sigma" not in plain.to_mapping()["train"]
    assert plain.trajectory()["train"].keys() == {"precision", "t", "ema", "batch"}
    assert Config.from_stored(plain.to_mapping()) == plain


def test_a_width_in_use_is_stored_and_hashed() -> None:
    power = compose(["train.ema=power"])
    assert power.to_mapping()["train"]["ema_sigma"] == 0.1
    assert Config.from_stored(power.to_mapping()) == power
    ids = {compose(words).run_id("abc") for words in (["train.ema=power"], ["train.ema=power", "train.ema_sigma=0.05"])}
    assert ids == {"digits-n64-w32-s0-565cb179", "digits-n64-w32-s0-d3cc7c78"}


def test_how_a_step_runs_is_stored_where_it_is_said_and_never_hashed() -> None:
    plain, other = compose([]), compose(["train.graph=off", "train.compile=true"])
    assert not {"graph", "compile"} & plain.to_mapping()["train"].keys()
    assert (plain.train.graph, plain.train.compile) == ("auto", False)
    assert other.to_mapping()["train"] == {**plain.to_mapping()["train"], "graph": "off", "compile": True}
    for config in (plain, other):
        assert Config.from_stored(yaml.safe_load(yaml.safe_dump(config.to_mapping()))) == config
    assert other.run_id("abc") == plain.run_id("abc")


def test_what_is_predicted_is_stored_and_hashed_where_it_is_not_epsilon() -> None:
    plain = compose([])
    assert "predict" not in plain.to_mapping()["diffusion"]
    assert not {"loss_weight", "min_snr_gamma"} & plain.to_mapping()["train"].keys()
    words = [
        "diffusion.predict=x0",
        "diffusion.predict=v",
        "diffusion=flow",
        "diffusion=edm",
        "train.loss_weight=min_snr",
    ]
    others = [compose([word]) for word in words]
    others.append(compose(["train.loss_weight=min_snr", "train.min_snr_gamma=1"]))
    for config in others:
        assert Config.from_stored(yaml.safe_load(yaml.safe_dump(config.to_mapping()))) == config
    assert len({config.run_id("abc") for config in [plain, *others]}) == len(words) + 2
    assert {config.eval_id() for config in others} == {plain.eval_id()}


def test_precision_is_hashed() -> None:
    ids = {compose([f"train.precision={word}"]).run_id("abc") for word in ("fp32", "tf32", "bf16")}
    assert len(ids) == 3
    assert compose([]).run_id("abc") in ids


@pytest.mark.parametrize(("text", "overrides"), STORED, ids=["digits", "mixture"])
def test_a_stored_config_loads_and_is_written_again_byte_for_byte(
    text: str, overrides: list[str], tmp_path: Path
) -> None:
    run = RunDir(tmp_path)
    run.config_path.write_text(text)
    config = Config.from_mapping(run.read_config())
    assert config == compose(overrides)
    run.write_config(config.to_mapping())
    assert run.config_path.read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize(("group", "option"), [(group, option) for group in FORMAT_1 for option in FORMAT_1[group]])
def test_an_absent_option_may_be_null_or_what_format_1_wrote_and_nothing_else(group: str, option: str) -> None:
    choice = {"data": "mixture", "model": "resmlp", "diffusion": "ddpm_cosine", "executor": "here"}
    words = ["data=mixture", "model=resmlp", *(f"{name}={value}" for name, value in choice.items())]
    config = compose([*words, "optimizer=sgd" if option.startswith("beta") else "optimizer=adam"])
    stored = config.to_mapping()
    if hasattr(getattr(config, group), option):
        return
    assert stored[group][option] == FORMAT_1[group][option]
    stored[group][option] = None
    assert Config.from_mapping(stored) == config
    stored[group][option] = 77
    with pytest.raises(InputError, match=rf"{group}.{option}=77 does not apply to {group}=.*: leave it out"):
        Config.from_mapping(stored)
    assert Config.from_stored(stored) == config  # a run of version 0.1 is read, whatever it says there


@pytest.mark.slow
def test_every_choice_is_stored_in_the_order_of_format_1() -> None:
    for group, order in FORMAT_1.items():
        for name in groups()[group]:
            flat = "mixture" in name or name == "resmlp"
            words = ["data=mixture", "model=resmlp"] if flat else []
            stored = compose([*words, f"{group}={name}"]).to_mapping()
            assert [*stored[group]][: len(order)] == [*order]
            assert Config.from_mapping(yaml.safe_load(yaml.safe_dump(stored))).to_mapping() == stored
