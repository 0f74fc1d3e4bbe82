"""Settings: bad values are refused in words, and the identity of a run is what decides its trajectory."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffmem.config.compose import compose
from diffmem.config.grid import REFERENCE_GRID
from diffmem.config.options import known_keys
from diffmem.config.settings import Config
from diffmem.errors import InputError

BASE = compose(
    [
        *("data.n=16", "model.width=8", "model.blocks=1", "model.multipliers=[1,2]", "model.attention=[]"),
        *("model.dropout=0", "optimizer.lr=1e-3", "train.steps=100", "train.batch=8", "sampler.calls=10"),
        *("eval.samples=128", "eval.test_images=64", "eval.t=[20]", "executor=here"),
    ]
).to_mapping()


def mapping(**changes: Any) -> dict[str, Any]:
    """Settings of a small run, with dotted changes (`data__n=3`)."""
    base = copy.deepcopy(BASE)
    for key, value in changes.items():
        *groups, last = key.split("__")
        place = base
        for group in groups:
            place = place[group]
        place[last] = value
    return base


BAD = [
    ({"data__n": 1}, "data.n=1 is out of range: it must be >= 2 and <="),
    ({"data__n": 0}, "data.n=0"),
    ({"data__n": "many"}, "data.n='many' is not a whole number."),
    ({"data__n": True}, "data.n=True is not a whole number."),
    ({"data__scale": 0}, "data.scale=0.0 is out of range: it must be >= 1e-06 and <="),
    ({"data__scale": float("inf")}, "not a finite number"),
    ({"data__scale": "std"}, "data.scale='std' is neither a number above 0 nor the word auto."),
    ({"data__name": "digit"}, "is not one of digits"),
    ({"model__width": 12}, "model.width=12 gives a level of 12 channels"),
    ({"model__attention": [3]}, "model.attention names level 3"),
    ({"model__multipliers": [1, 2, 4, 8, 16]}, "no multiple of 16"),
    ({"model": {"name": "resmlp", "width": 8, "blocks": 1}}, "use model=unet"),
    ({"train__batch": 0}, "train.batch=0 is out of range"),
    ({"train__batch": "whole"}, "nor the word full"),
    ({"train__steps": 0}, "train.steps=0"),
    ({"train__steps": -5}, "train.steps=-5"),
    ({"train__t": 1000}, "train.t=1000 is past the last diffusion time 999"),
    ({"eval__t": [20, 1000]}, "eval.t=1000 is past"),
    ({"eval__t": 20}, "is not a list"),
    ({"eval__weights": "ema"}, "set train.ema=power, or a decay"),
    ({"train__ema": "foo"}, "train.ema='foo' is neither a decay per step, such as 0.999, nor the word power"),
    ({"train__ema": 1.5}, "train.ema=1.5 is out of range"),
    ({"train__ema": "power", "train__ema_sigma": 0.3}, "train.ema_sigma=0.3 is out of range: it must be > 0 and <="),
    ({"train__ema": "power", "train__ema_sigma": 0}, "train.ema_sigma=0.0 is out of range"),
    ({"train__ema": "power", "train__ema_sigma": None}, "set train.ema_sigma, such as 0.1"),
    ({"train__ema": "power"}, "train.ema_sigma is missing: give it a value."),
    ({"sampler__calls": 2000}, "sampler.calls=2000"),
    ({"train__t": 5, "stop__f_mem": 0.1}, "stop.f_mem=0.1 needs samples"),
    ({"train__stps": 5}, "unknown option train.stps: did you mean train.steps?"),
    ({"seed": None}, "seed=null is not a whole number."),
    ({"data__mu": 1.0}, "data.mu=1.0 does not apply to data=digits: leave it out."),
    ({"data__mew": 1.0}, "unknown option data.mew"),
    ({"optimizer__momentum": 0.9}, "optimizer.momentum=0.9 does not apply to optimizer=adam: leave it out."),
    ({"diffusion__schedule": "cubic"}, "diffusion.schedule=cubic is not one of linear, cosine, flow, edm."),
    ({"executor__workers": 2}, "executor.workers=2 does not apply to executor=here: leave it out."),
    ({"sampler": {"calls": 10}}, "sampler.name is missing: give it a value."),
    ({"data__size": None}, "data.size=null is not a whole number."),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_bad_settings_are_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Config.from_mapping(mapping(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_odd_n_of_the_mixture_is_refused() -> None:
    with pytest.raises(InputError, match=r"data\.n=5 is odd"):
        Config.from_mapping(
            mapping(
                data={"name": "mixture", "n": 5, "index": 0, "scale": 1.0, "dim": 8, "mu": 1.0, "sigma": 1.0},
                model={"name": "resmlp", "width": 8, "blocks": 1},
            )
        )


def test_mapping_round_trip() -> None:
    config = Config.from_mapping(mapping(train__ema=0.99))
    assert Config.from_mapping(config.to_mapping()) == config


SAME_RUN = [
    {"train__steps": 500},
    {"stop__f_mem": 0.1},
    {"grid__per_decade": 3},
    {"eval__samples": 500},
    {"sampler__calls": 20},
    {"executor__name": "pool"},
    {"device": "cpu"},
    {"threads": 1},
    {"out": "elsewhere"},
    {"experiment": "named"},
    {"train__save_seconds": 1},
    {"train__batch": 8.0},
]
OTHER_RUN = [
    {"data__n": 17},
    {"data__index": 1},
    {"data__scale": 1},
    {"data__scale": "auto"},
    {"model__width": 16},
    {"model__dropout": 0.1},
    {"diffusion__schedule": "cosine"},
    {"optimizer__lr": 1e-2},
    {"optimizer__clip": 1.0},
    {"train__batch": 4},
    {"train__precision": "bf16"},
    {"train__t": 10},
    {"train__ema": 0.9},
    {"seed": 1},
]


@pytest.mark.parametrize("changes", SAME_RUN)
def test_what_does_not_decide_the_trajectory_finds_the_run_again(changes: dict[str, Any]) -> None:
    assert Config.from_mapping(mapping(**changes)).run_id("abc") == Config.from_mapping(mapping()).run_id("abc")


def test_where_the_data_lie_does_not_decide_the_trajectory() -> None:
    ids = {compose(["data=fashion_mnist", f"data.root={root}"]).run_id("abc") for root in ("null", "/a", "/b")}
    assert len(ids) == 1


@pytest.mark.parametrize("changes", OTHER_RUN)
def test_what_decides_the_trajectory_is_another_run(changes: dict[str, Any]) -> None:
    assert Config.from_mapping(mapping(**changes)).run_id("abc") != Config.from_mapping(mapping()).run_id("abc")


def test_other_data_are_another_run() -> None:
    config = Config.from_mapping(mapping())
    assert config.run_id("abc") != config.run_id("abd")
    assert config.run_id("abc").startswith("digits-n16-w8-s0-")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"eval__samples": 500}, False),
        ({"eval__k": 0.5}, False),
        ({"sampler__calls": 20}, False),
        ({"eval__tile": 7}, True),
        ({"eval__keep_samples": 3}, True),
        ({"train__steps": 7}, True),
    ],
)
def test_eval_id_is_what_decides_a_row(changes: dict[str, Any], same: bool) -> None:
    ids = Config.from_mapping(mapping(**changes)).eval_id(), Config.from_mapping(mapping()).eval_id()
    assert (ids[0] == ids[1]) is same


def test_full_batch_and_batches_above_n_are_n() -> None:
    batches = ("full", 16, 4000)
    configs = [Config.from_mapping(mapping(train__batch=batch)) for batch in batches]
    assert [config.batch for config in configs] == [16, 16, 16]
    assert len({config.run_id("abc") for config in configs}) == 1


@given(
    last=st.integers(1, 10**7), more=st.integers(0, 10**7), per_decade=st.integers(1, 40), first=st.integers(1, 1000)
)
def test_the_grid_does_not_depend_on_the_length_of_the_run(last: int, more: int, per_decade: int, first: int) -> None:
    def grid(steps: int) -> list[int]:
        return Config.from_mapping(
            mapping(train__steps=steps, grid={"kind": "log", "per_decade": per_decade, "first": first})
        ).checkpoint_steps()

    short, long = grid(last), grid(last + more)
    assert short[0] == 0
    assert short[-1] == last
    assert short == sorted(set(short))
    assert set(short[:-1]) == {step for step in long if step < last}


def test_the_log_grid_by_hand() -> None:
    config = Config.from_mapping(mapping(train__steps=1000, grid={"kind": "log", "per_decade": 2, "first": 10}))
    assert config.checkpoint_steps() == [0, 10, 32, 100, 316, 1000]


def test_the_reference_grid_keeps_the_last_step() -> None:
    steps = Config.from_mapping(mapping(train__steps=2_000_000, grid__kind="reference")).checkpoint_steps()
    assert steps[-2:] == [1_665_000, 2_000_000]
    assert set(steps) == {step for step in REFERENCE_GRID if step < 2_000_000} | {2_000_000}
    assert len(REFERENCE_GRID) == 81


def test_known_keys_are_dotted() -> None:
    keys = known_keys(Config)
    assert {"seed", "data.n", "train.save_seconds", "stop.f_mem", "eval.weights"} <= set(keys)
