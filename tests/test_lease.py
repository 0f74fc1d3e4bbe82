"""Who owns a run between machines that share nothing but its folder: two of them, played by processes that know
nothing of each other's flock, host or boot, with clocks that do not agree.
"""

import errno
import json
import os
import threading
import time
from dataclasses import asdict, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NoReturn

import pytest

from diffmem import lease, store
from diffmem.errors import InputError, InUse
from diffmem.lease import Entry, Lease, LeaseLost, acquire, highest
from diffmem.store import RunDir
from diffmem.training.evaluate import Evaluator
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.tree import Tree
from tests.helpers.tiny import tiny

ROUNDS = 200
SECONDS = 0.3  # of a lease in tests that wait for one to end
ELSEWHERE = Entry("node7", "another boot", 12, 0.0, SECONDS, released=False, deaths=0)


def be(host: str, clock: float = 0.0) -> None:
    """Make this process one of another machine: no flock holds between them, and its clock is `clock` seconds ahead."""

    def no_locks(*_: object) -> NoReturn:
        raise OSError(errno.ENOLCK, "No locks available")

    there = time.time
    lease.boot = lambda: f"boot of {host}"  # type: ignore[assignment]
    lease.socket.gethostname = lambda: host
    lease.time.time = lambda: there() + clock
    store.fcntl.flock = no_locks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "lease"


def tree_of(folder: Path) -> Tree:
    return Tree(folder.parent)


def leave_behind(folder: Path, entry: Entry, number: int = 1) -> None:
    """What an owner elsewhere wrote last."""
    tree_of(folder).write(folder / f"{number:08d}", json.dumps(asdict(entry)).encode())


def take(folder: Path, *, alone: bool = True, seconds: float = SECONDS) -> Lease:
    return acquire(tree_of(folder), folder, seconds, alone=alone)


def test_generations_ascend_and_only_the_newest_stays(folder: Path) -> None:
    for number in (1, 2, 3):
        own = take(folder)
        found, entry = highest(tree_of(folder), folder)
        assert (found, entry.process, entry.released, entry.deaths) == (number, os.getpid(), False, 0)
        assert entry.expires == pytest.approx(time.time() + SECONDS, abs=60)
        own.release()
        assert [path.name for path in folder.iterdir()] == [f"{number:08d}"]
        assert highest(tree_of(folder), folder)[1].released


def _race(path: str, host: str, clock: float, start: Barrier, read: Barrier, end: Barrier, answers: Connection) -> None:
    """Try for the run in every round, once both have read that it is free; hold it until the other has tried too."""
    be(host, clock)
    waited = set()

    def highest_together(tree: Tree, folder: Path) -> tuple[int, Entry]:
        latest = highest(tree, folder)
        if folder not in waited:
            waited.add(folder)
            read.wait(20)
        return latest

    lease.highest = highest_together
    won = []
    for number in range(ROUNDS):
        run = RunDir(Path(path) / str(number))
        start.wait(20)
        try:
            with run.lock():
                end.wait(20)
                won.append(number)
        except InUse:
            end.wait(20)
    answers.send(won)


@pytest.mark.slow
def test_of_two_machines_that_race_for_a_run_exactly_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are new, whose owner has left, and whose machine died, in turn; clocks a minute apart."""
    for number in range(ROUNDS):
        if number % 3:
            past = replace(ELSEWHERE, expires=time.time() - 2 * lease.SKEW_SECONDS, released=number % 3 == 1)
            leave_behind(tmp_path / str(number) / "lease", past, number=7)
    context = get_context("fork")
    barriers = [context.Barrier(2) for _ in range(3)]
    ends = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [
        context.Process(target=_race, args=(str(tmp_path), host, clock, *barriers, sender))
        for (host, clock), (_, sender) in zip((("a", -30.0), ("b", 30.0)), ends, strict=True)
    ]
    for process, (_, sender) in zip(processes, ends, strict=True):
        process.start()
        sender.close()
    won = [receiver.recv() if receiver.poll(300) else [] for receiver, _ in ends]
    for process in processes:
        process.join(60)
    assert sorted(won[0] + won[1]) == list(range(ROUNDS))
    assert all(won), "each machine wins some, or they did not race"
    for number in range(ROUNDS):
        assert len(list((tmp_path / str(number) / "lease").iterdir())) == 1


@pytest.mark.parametrize("clock", [-60.0, 0.0, 60.0])
def test_an_owner_that_renews_is_left_alone_whatever_the_clocks_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, clock: float
) -> None:
    owner = take(folder)
    end = threading.Event()

    def keep() -> None:
        while not end.wait(SECONDS / 10):
            owner.renew()

    renewing = threading.Thread(target=keep, daemon=True)
    renewing.start()
    before = time.time
    monkeypatch.setattr(lease.time, "time", lambda: before() + clock)
    with pytest.raises(InUse, match=f"in use by process {os.getpid()} on"):
        take(folder, alone=False)
    end.set()
    renewing.join()
    owner.check()


@pytest.mark.parametrize("clock", [-60.0, 60.0])
def test_an_owner_elsewhere_that_gives_no_sign_is_followed_after_its_time(folder: Path, clock: float) -> None:
    leave_behind(folder, replace(ELSEWHERE, expires=time.time() + clock, deaths=2))
    begin = lease.now()
    take(folder)
    assert lease.now() - begin >= SECONDS
    assert highest(tree_of(folder), folder)[1].deaths == 3


@pytest.mark.parametrize(
    ("entry", "alone"),
    [
        (replace(ELSEWHERE, released=True, expires=time.time() + 1e6, seconds=3600.0), False),
        (replace(ELSEWHERE, boot=lease.boot(), expires=time.time() + 1e6, seconds=3600.0), True),
        (replace(ELSEWHERE, expires=time.time() - lease.SKEW_SECONDS - 1, seconds=3600.0), False),
    ],
    ids=["left", "died on this machine", "expired long ago"],
)
def test_who_is_surely_gone_is_followed_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, entry: Entry, alone: bool
) -> None:
    leave_behind(folder, entry)
    monkeypatch.setattr(lease.time, "sleep", _refuse)
    take(folder, alone=alone)


def _refuse(*_: object) -> NoReturn:
    raise AssertionError("it waits")


def test_on_this_machine_an_owner_is_not_dead_where_no_flock_says_so(folder: Path) -> None:
    leave_behind(folder, replace(ELSEWHERE, boot=lease.boot(), expires=time.time() + 10))
    begin = lease.now()
    take(folder, alone=False)
    assert lease.now() - begin >= SECONDS


def asleep(own: Lease) -> None:
    """Let the owner find that it has slept past its lease."""
    own._renewed -= 2 * own.entry.seconds


@pytest.mark.parametrize("answer", ["renew", "check"])
def test_an_owner_that_slept_goes_on_where_nobody_came(folder: Path, answer: str) -> None:
    own = take(folder, seconds=3600.0)
    asleep(own)
    getattr(own, answer)()
    own.check()
    assert [path.name for path in folder.iterdir()] == ["00000002"]


@pytest.mark.parametrize("answer", ["renew", "check"])
@pytest.mark.parametrize("slept", [True, False])
def test_an_owner_that_was_followed_knows(folder: Path, answer: str, slept: bool) -> None:
    own = take(folder, seconds=3600.0)
    told: list[str] = []
    own.on_lost = lambda: told.append("lost")
    leave_behind(folder, replace(ELSEWHERE, expires=time.time() + 1e6), number=2)
    if slept:
        asleep(own)
    if answer == "renew" or slept:
        if answer == "renew":
            own.renew()
            assert told == ["lost"]
        with pytest.raises(LeaseLost, match="taken over by process 12 on node7"):
            own.check()
    own.release()
    assert highest(tree_of(folder), folder) == (
        2,
        replace(ELSEWHERE, expires=highest(tree_of(folder), folder)[1].expires),
    )


def test_who_slept_while_others_came_and_went_owns_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the generation that it saw free, which two others have made and cleared away since."""
    leave_behind(folder, replace(ELSEWHERE, released=True))
    create = Tree.create

    def late(tree: Tree, path: Path, content: bytes) -> bool:
        monkeypatch.setattr(Tree, "create", create)
        for _ in range(2):
            other = take(folder)
            other.release()
        holder = take(folder)  # generation 4 stands, and 2 is free to be made again
        assert holder.entry.released is False
        return create(tree, path, content)

    monkeypatch.setattr(Tree, "create", late)
    with pytest.raises(InUse):
        take(folder)
    assert highest(tree_of(folder), folder)[0] == 4


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"host": 1}', json.dumps(asdict(replace(ELSEWHERE, seconds=1e9))).encode()]
)
def test_a_damaged_lease_is_watched_like_any_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(lease, "UNKNOWN", replace(lease.UNKNOWN, seconds=SECONDS))
    tree_of(folder).write(folder / "00000005", content)
    begin = lease.now()
    take(folder)
    assert lease.now() - begin >= SECONDS
    assert [path.name for path in folder.iterdir()] == ["00000006"]


def test_a_disk_without_second_names_has_leases_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    take(folder)
    assert not tree_of(folder).create(folder / "00000001", b"another")
    assert highest(tree_of(folder), folder)[1].process == os.getpid()
    assert [path.name for path in folder.iterdir()] == ["00000001"]


def test_a_link_in_the_place_of_the_lease_is_refused(tmp_path: Path) -> None:
    run, outside = RunDir(tmp_path / "run"), tmp_path / "outside"
    outside.mkdir()
    run.path.mkdir()
    run.lease_folder.symlink_to(outside)
    with pytest.raises(InputError, match="symbolic link"), run.lock():
        pass
    assert not any(outside.iterdir())


@pytest.mark.parametrize("phase", ["training", "evaluating"])
def test_a_run_that_was_taken_over_is_left_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """Another machine makes the next generation while this process works: it leaves, and the files are the other's."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    if phase == "evaluating":
        monkeypatch.setattr(Evaluator, "__call__", dwell)
    planned = plan(tiny(tmp_path, train={"steps": 1_000_000}, grid={"first": 1_000_000}))
    run = planned.run

    def take_over() -> None:
        while run.read_status().get("phase") != phase:
            time.sleep(0.02)
        leave_behind(run.lease_folder, replace(ELSEWHERE, expires=time.time() + 60), number=2)
        run.write_status({"status": "queued"})

    other = threading.Thread(target=take_over, daemon=True)
    other.start()
    with pytest.raises(LeaseLost, match="taken over by process 12 on node7"):
        execute(planned)
    other.join()
    assert run.read_status()["status"] in ("queued", "running")  # a heartbeat may come between, an end may not
    assert highest(Tree(run.path), run.lease_folder)[0] == 2


@pytest.mark.parametrize(("beat_seconds", "seconds"), [(1.0, 30.0), (60.0, 180.0)])
def test_a_lease_holds_for_several_heartbeats(tmp_path: Path, beat_seconds: float, seconds: float) -> None:
    run = RunDir(tmp_path / "run")
    with run.lock(beat_seconds):
        entry = run.read_lease()
        assert entry is not None
        assert (entry.seconds, entry.released) == (seconds, False)
    assert run.read_lease() == replace(entry, released=True)


def dwell(*_: object) -> None:
    """A minute in steps that a signal comes between."""
    for _step in range(6000):
        time.sleep(0.01)


def test_a_run_without_a_lease_has_none(tmp_path: Path) -> None:
    assert RunDir(tmp_path).read_lease() is None
