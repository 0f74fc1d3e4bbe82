"""Runs measured in features of a network, by several measures and a calibrated k; and what is refused before them."""

import json
import shutil
from pathlib import Path

import pytest

from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from diffmem.config.compose import override_evaluation
from diffmem.config.settings import Config
from diffmem.definitions import is_quality
from diffmem.errors import InputError
from diffmem.runs import load_run
from diffmem.store import RunDir
from diffmem.training.plan import plan, plan_evaluation
from diffmem.training.session import execute, fill
from tests.helpers import networks
from tests.helpers.networks import Layers
from tests.helpers.tiny import tiny

BARE = "module:tests.helpers.networks:bare"
ASKED = {"quality": ["auto", f"kid_{BARE}", f"prdc_{BARE}", "swd_pixels"], "k": "null:0.9"}
SHORT = {"train": {"steps": 4}}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))


def trained(out: Path, config: Config) -> RunDir:
    planned = plan(config)
    assert execute(planned).exit_code == 0
    return planned.run


def test_a_run_has_every_measure_its_null_and_the_network_that_made_it(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny(tmp_path / "a", eval=ASKED, **SHORT))
    rows = run.primary.read_rows()
    asked = {"fd_pixels", "kid_bare", "precision_bare", "recall_bare", "density_bare", "coverage_bare", "swd_pixels"}
    for row in rows:
        assert asked | {"mmd_pixels", "precision", "recall"} == {name for name in row if is_quality(name)}
        for name in asked:
            assert {f"{name}@{end}" for end in ("real", "copies", "gaussian", "halves")} <= set(row)
    null = rows[0]["f_mem_null_count"]
    assert null == 0.9 * 500
    recorded = run.read_meta()["networks"]
    assert list(recorded) == ["bare"]
    assert recorded["bare"]["gray"] == "repeated"
    assert load_run(run.path).k == rows[0]["f_mem_threshold"]
    warm = trained(tmp_path, tiny(tmp_path / "b", eval=ASKED, **SHORT))
    shutil.rmtree(tmp_path / "cache")
    cold = trained(tmp_path, tiny(tmp_path / "c", eval=ASKED, **SHORT))
    assert run.primary.metrics_path.read_bytes() == warm.primary.metrics_path.read_bytes()
    assert run.primary.metrics_path.read_bytes() == cold.primary.metrics_path.read_bytes()
    assert not execute(plan(tiny(tmp_path / "a", eval=ASKED, **SHORT))).worked
    times = family_times(read_table(tmp_path / "a"), n_boot=5, quality="kid_bare")
    assert "are not those of its row" not in times["notes"].iloc[0]
    warm.path.rename(tmp_path / "a" / "other")
    other = RunDir(tmp_path / "a" / "other")
    other.write_meta({**other.read_meta(), "networks": {"bare": {**recorded["bare"], "weights": "0"}}})
    with pytest.raises(InputError, match=r"the runs are no family: bare, .* is one network in .* and another in "):
        read_table(tmp_path / "a")


def test_what_was_one_word_has_the_columns_it_had(tmp_path: Path) -> None:
    run = trained(tmp_path, tiny(tmp_path / "runs", **SHORT))
    row = run.primary.read_rows()[-1]
    assert not [name for name in row if name.endswith("@halves") or name == "f_mem_threshold"]
    assert "networks" not in run.read_meta()
    other = override_evaluation(run.read_config(), ["eval.quality=[auto,kid_pixels]"])
    folder, made = fill(plan_evaluation(run, other))
    assert made == len(run.checkpoint_steps())
    again = json.loads(folder.read_text().splitlines()[-1])
    assert {name: value for name, value in again.items() if name in row} == row
    assert {"kid_pixels", "kid_pixels@halves", "mmd_pixels@halves"} <= set(again)


def test_one_name_in_a_run_is_one_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(tmp_path / "runs", eval=ASKED, **SHORT)
    run = trained(tmp_path, config)
    monkeypatch.setattr(networks, "bare", lambda: Layers(seed=1))
    from diffmem.metrics.features import extractors

    extractors._load.cache_clear()
    with pytest.raises(InputError, match=rf"{BARE}: bare is not the network that measured .*{run.name}"):
        plan(config)
    extractors._load.cache_clear()


def test_code_that_only_a_run_names_is_not_run(tmp_path: Path) -> None:
    stored = tiny(tmp_path, eval=ASKED).to_mapping()
    with pytest.raises(InputError, match=r"runs code that the run's own config names: name it again"):
        override_evaluation(stored, ["eval.samples=200"])
    named = override_evaluation(stored, [f"eval.quality=kid_{BARE}"])
    assert named.eval.quality == f"kid_{BARE}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quality": "kid_module:tests.helpers.networks:colour"}, r"eval.quality=kid_module:.*these are gray"),
        ({"quality": "kid_torchscript:gone.pt"}, "eval.quality=kid_torchscript:gone.pt: .* no such file"),
        ({"quality": ["auto", "fdinf_pixels"]}, r"eval.samples gives 128 images, and fdinf_pixels .* at least 256"),
        ({"quality": ["fd_inception"], "samples": 4096}, "the test split gives 500 images, and fd_inception"),
        ({"k": "null:0.001"}, "k=null:0.001 needs at least 1000 held-out images, and there are 500"),
        ({"k": "null:2"}, "eval.k=null:2 is neither a number nor null:RATE"),
        ({"quality": []}, "eval.quality=.* names no measure"),
        ({"quality": 3}, "eval.quality=3 is not a word or a list"),
        ({"quality": ["auto", 3]}, "eval.quality=3 is not a word"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    settings: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffmem.metrics.features import inception
    from diffmem.metrics.features.files import file_sha256

    script = networks.save_script(networks.Published(2048), tmp_path / inception.SCRIPT)
    monkeypatch.setenv(inception.VARIABLE, str(tmp_path))
    monkeypatch.setitem(inception.SHA256, inception.SCRIPT, file_sha256(script))
    with pytest.raises(InputError, match=message):
        plan(tiny(tmp_path / "runs", eval=settings))
    assert not (tmp_path / "runs").exists()
