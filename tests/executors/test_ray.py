"""The Ray executor where its promises end and the cluster begins: nodes, addresses, folders and data."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmem.errors import InputError
from diffmem.executors.base import start, width
from diffmem.store import RunDir
from diffmem.training import machine
from diffmem.training.plan import plan
from tests.helpers import ray_cluster
from tests.helpers.engines import drive, quick, started, training, wait
from tests.helpers.image_files import write_folder
from tests.helpers.tiny import outcome_bytes, same_bytes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(not ray_cluster.is_installed(), reason="Ray is not installed: tests/ray.sh installs it"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_cluster.TwoNodes]:
    with ray_cluster.two_nodes(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def outside() -> Iterator[None]:
    """This process is in no cluster, and leaves the one it comes into."""
    ray_cluster.leave()
    yield
    ray_cluster.leave()


def alone(folder: Path, **settings: Any) -> dict[str, bytes]:
    """What a run leaves that nothing disturbed."""
    config = quick(folder / "alone", {"name": "here"}, **settings)
    with drive([config], folder) as sweep:
        assert sweep.wait() == 0
    return outcome_bytes(plan(config).run.path)


def test_a_node_is_lost_for_good_and_its_run_goes_on_elsewhere(cluster: ray_cluster.TwoNodes, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 400, "save_seconds": 0.1}
    plans = [plan(quick(tmp_path / "runs", cluster.options, seed, **settings)) for seed in range(2)]
    with started(plans[0].config) as executor:
        assert executor.capacity == 2
        futures = [executor.submit(planned) for planned in plans]
        wait(lambda: all(training(planned.run) for planned in plans))
        cluster.lose_node()
    assert [future.result().status for future in futures] == ["complete"] * 2
    assert sum(len(planned.run.read_meta()["segments"]) for planned in plans) == 3
    for planned in plans:
        undisturbed = alone(tmp_path, seed=planned.config.seed, **settings)
        assert same_bytes(outcome_bytes(planned.run.path), undisturbed)
    cluster.start_node()


def test_a_folder_that_a_node_does_not_see_is_found_before_anything_is_written(
    cluster: ray_cluster.TwoNodes, tmp_path: Path
) -> None:
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path)]
    if subprocess.run([*hidden, "true"], capture_output=True).returncode != 0:
        pytest.skip("a mount of its own for one node takes a machine's root")
    cluster.lose_node()
    cluster.start_node(*hidden)
    out = tmp_path / "runs"
    with pytest.raises(InputError, match=rf"out={out}: node {ray_cluster.NODE} does not see what was written in"):
        start(quick(out, cluster.options))
    assert list(tmp_path.iterdir()) == []
    cluster.lose_node()
    cluster.start_node()


def test_images_are_sent_once_to_a_node_that_has_none(
    cluster: ray_cluster.TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their folder is gone by the time the runs start, and so is this machine's cache."""
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    data = {"name": "image_folder", "root": str(write_folder(tmp_path / "images", pixels)), "size": 8, "channels": 1}
    plans = [plan(quick(tmp_path / "runs", cluster.options, seed, data=data)) for seed in range(3)]
    undisturbed = [alone(tmp_path, seed=seed, data=data) for seed in range(3)]
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with started(plans[0].config) as executor:
        futures = [executor.submit(planned) for planned in plans]
    assert [future.result().status for future in futures] == ["complete"] * 3
    for planned, expected in zip(plans, undisturbed, strict=True):
        assert same_bytes(outcome_bytes(planned.run.path), expected)
    for ip in (ray_cluster.HEAD, ray_cluster.NODE):
        assert len(list((cluster.cache(ip) / "received").glob("*.npy"))) == 1


def test_more_cpus_than_any_node_has(cluster: ray_cluster.TwoNodes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"executor\.cpus=3: no node of the cluster has as many \(the largest has 1\)"):
        start(quick(tmp_path, {**cluster.options, "cpus": 3}))


@pytest.mark.usefixtures("outside")
def test_an_address_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffmem.executors.ray.ANSWER_SECONDS", 2.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(InputError, match=rf"executor\.address={address}: no Ray cluster answered within 2 s: name"):
            start(quick(tmp_path, {**ray_cluster.OPTIONS, "address": address}))


@pytest.mark.usefixtures("outside")
def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"executor\.address=nowhere cannot be joined \(.+\): name its head as"):
        start(quick(tmp_path, {**ray_cluster.OPTIONS, "address": "nowhere"}))


@pytest.mark.usefixtures("outside")
def test_a_cluster_of_this_machine_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(InputError, match=r"executor=ray: no cluster was started or joined \(The current node timed"):
        start(quick(tmp_path, ray_cluster.OPTIONS))


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("options", "at_once"),
    [({}, machine.cores()), ({"cpus": 2}, machine.cores() // 2), ({"address": "a:1", "workers": 7}, 7)],
)
def test_a_plan_starts_no_cluster(options: dict[str, Any], at_once: int, tmp_path: Path) -> None:
    import ray

    config = replace(quick(tmp_path, {**ray_cluster.OPTIONS, **options}), device="cpu")
    assert width(config) == (at_once, at_once)
    assert not ray.is_initialized()
    assert list(tmp_path.iterdir()) == []


def test_a_plan_counts_the_room_of_a_cluster(cluster: ray_cluster.TwoNodes, tmp_path: Path) -> None:
    assert width(quick(tmp_path, cluster.options)) == (2, 2)


def test_a_cluster_of_this_machine_alone(tmp_path: Path) -> None:
    configs = [quick(tmp_path / "runs", ray_cluster.OPTIONS, seed) for seed in range(2)]
    with drive(configs, tmp_path) as sweep:
        out, _ = sweep.communicate()
    assert out.splitlines()[-2:] == ["complete, trained to step 24"] * 2


def test_a_run_whose_data_are_others_on_its_node_is_not_trained(tmp_path: Path) -> None:
    from diffmem.executors.ray import _work

    here = plan(quick(tmp_path, ray_cluster.OPTIONS))
    refused = _work(replace(here, run=RunDir(here.run.path.with_name("digits-n8-w4-s0-00000000"))), None)
    assert isinstance(refused, InputError)
    assert str(refused).startswith("data=digits, or train.init, is not on ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("device", "has", "gpus", "room"),
    [
        ("auto", {"CPU": 9.0}, 0.0, 4),
        ("auto", {"CPU": 9.0, "GPU": 1.0}, 1 / 3, 3),
        ("cuda", {"CPU": 5.0, "GPU": 2.0}, 1 / 3, 2),
        ("cpu", {"CPU": 9.0, "GPU": 2.0}, 0.0, 4),
        ("auto", {"GPU": 2.0}, 1 / 3, 0),
    ],
)
def test_the_room_for_runs_of_two_cpus_that_share_a_gpu_by_three(
    device: str, has: dict[str, float], gpus: float, room: int, tmp_path: Path
) -> None:
    from diffmem.executors.ray import _gpus, _room

    config = replace(quick(tmp_path, {**ray_cluster.OPTIONS, "cpus": 2, "per_device": 3}), device=device)
    assert _gpus(config, [{}, has]) == gpus
    assert _room(has, 2, gpus) == room


def test_a_gpu_that_no_node_has(tmp_path: Path) -> None:
    from diffmem.executors.ray import _gpus

    with pytest.raises(InputError, match="device=cuda is asked for and no node of the Ray cluster has a GPU"):
        _gpus(replace(quick(tmp_path, ray_cluster.OPTIONS), device="cuda"), [{"CPU": 2.0}])
