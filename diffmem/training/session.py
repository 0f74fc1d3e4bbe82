"""One run from its settings to a finished directory: settings -> objects -> train x evaluate -> store.

Idempotent: a finished run is left alone, an unfinished one goes on from its last resume point, and damage on disk is
mended from the last intact point before it. At a grid step the order of writes is checkpoint, samples, row, resume
point; a row depends on its checkpoint alone, so whatever a kill cut off is made again with the same bytes.
"""

import contextlib
import socket
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffmem.config.settings import Config
from diffmem.data import Dataset, load, split
from diffmem.data.labels import labels_of
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.files import DamagedWarning
from diffmem.lease import Lease, LeaseLost
from diffmem.store import RunDir
from diffmem.training import kernels, machine, snapshot, start, weights
from diffmem.training.background import Background
from diffmem.training.described import write_settings
from diffmem.training.heartbeat import Heartbeat
from diffmem.training.initial import Diverged, State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.pack import Alone, Member
from diffmem.training.plan import Plan
from diffmem.training.rows import Rows, eval_dir
from diffmem.training.signals import Interrupted, Interrupts
from diffmem.training.step import Inputs, Step, prepare
from diffmem.training.stop import stopped
from diffmem.training.train import train

LOOK_SECONDS = 0.2  # between looks at whether a run that waits for its rows is asked to leave

Progress = Callable[[int, int, int], None]  # step, number, count


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `status` is complete, stopped, diverged or interrupted, `why` says it in words."""

    status: str
    why: str
    worked: bool = True  # false where there was nothing left to do

    @property
    def exit_code(self) -> int:
        return {"complete": 0, "stopped": 0, "diverged": 1, "interrupted": 130}[self.status]


def execute(planned: Plan) -> Outcome:
    """Train and evaluate to the end, or from where an earlier process left off.

    Raises InUse where another process holds the run or has taken it over, OSError where the disk does not take a file.
    """
    work = attended(planned)
    while True:
        try:
            next(work)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def attended(planned: Plan, together: Interrupts | None = None) -> Generator[Step, None, Outcome]:
    """`execute` in pieces: it yields before every training step.

    With the interrupts of several runs that are trained `together`, what it yields is a Member of their pack: who goes
    on has taken its step.
    """
    run = planned.run
    with run.lock(planned.config.heartbeat_seconds) as lease:
        if run.config_path.is_file():  # what is wrong with its rows is found before anything is written
            eval_dir(run, planned.config).read_rows()
        beat = Heartbeat(run, planned.config.train.steps, planned.config.heartbeat_seconds)
        try:
            dataset = load(planned.config.data)
            write_settings(planned, dataset)
            with Interrupts() if together is None else contextlib.nullcontext(together) as interrupts, beat:
                if together is None:
                    lease.on_lost = interrupts.ask
                session = _Session(planned, dataset, interrupts, beat, lease, packed=together is not None)
                outcome = yield from session.run_to_end()
        except Diverged as diverged:
            outcome = Outcome("diverged", f"{diverged}: try a smaller optimizer.lr, or optimizer.clip=1")
        except Interrupted:
            lease.check()
            outcome = Outcome("interrupted", f"left near step {beat.step}: the same command goes on from there")
        except LeaseLost:
            raise
        except Exception as error:
            no_memory = machine.out_of_memory(error, planned.config, beat.device)
            with contextlib.suppress(OSError, InputError):
                _write_end(run, beat, "failed", str(no_memory or f"{type(error).__name__}: {error}"))
            if no_memory is not None:
                raise no_memory from error
            raise
        _write_end(run, beat, outcome.status, outcome.why, outcome.worked)
    return outcome


def _write_end(run: RunDir, beat: Heartbeat, status: str, why: str, worked: bool = True) -> None:
    """Say in status.json how this process's work on the run ended."""
    end = {"status": status, "why": why, "worked": worked, "ended": time.time()}
    place = {"host": socket.gethostname(), "device": beat.device}
    run.write_status({**end, **place, "step": beat.step, "steps": beat.steps, "f_mem": beat.f_mem})


def fill(planned: Plan, progress: Progress = lambda step, number, count: None) -> tuple[Path, int]:
    """Compute the rows that the evaluation settings ask for and that are missing, from stored checkpoints.

    `progress` is told of each step before it is measured (`Rows.fill`). Returns the file of the rows and how many were
    made. Raises Interrupted, and InputError for a damaged checkpoint.
    """
    run = planned.run
    with run.lock(planned.config.heartbeat_seconds) as lease, Interrupts() as interrupts:
        dataset = load(planned.config.data)
        _check_checkpoints(planned)
        write_settings(planned, dataset)
        interrupts.abandon, lease.on_lost = True, interrupts.ask
        device = machine.configure(planned.config)
        rows = Rows(planned.config, run, dataset, split(dataset, planned.config.data), device)
        with rows.folder.lock_rows():
            made = 0
            for step, made, count in rows.fill(weights.steps(run, planned.config)):
                progress(step, made, count)
            return rows.folder.metrics_path, made


def _check_checkpoints(planned: Plan) -> None:
    """Raise InputError where a checkpoint that has no row yet is damaged: before the rows of the others are written."""
    have = {row["step"] for row in eval_dir(planned.run, planned.config).read_rows()}
    steps = planned.run.checkpoint_steps()
    for step in steps if weights.are_rebuilt(planned.config) else set(steps) - have:
        for name in weights.stored(planned.config):
            snapshot.whole(planned.run.checkpoint_path(step), name)


def ended(config: Config, step: int, rows: Sequence[Mapping[str, Any]]) -> Outcome | None:
    """Whether a run that has come to `step`, with these `rows`, is over: by its last step, or by the rule of `stop`."""
    if step >= config.train.steps:
        return Outcome("complete", f"trained to step {step}")
    stop = stopped(config.stop, rows)
    return stop and Outcome("stopped", f"f_mem passed stop.f_mem={config.stop.f_mem} at step {stop.passed}")


class _Session:
    """One process's work on a run."""

    def __init__(
        self,
        planned: Plan,
        dataset: Dataset,
        interrupts: Interrupts,
        beat: Heartbeat,
        lease: Lease,
        *,
        packed: bool,
    ) -> None:
        self.packed = packed
        self.config, self.run = planned.config, planned.run
        self.split = split(dataset, self.config.data)
        self.interrupts, self.beat, self.lease = interrupts, beat, lease
        self.device = machine.configure(self.config)
        beat.device = machine.counted(self.device)
        self.process = Process.from_config(self.config.diffusion).to(self.device)
        self.images = self.split.train.to(self.device)
        self.labels = labels_of(dataset, self.config.data, self.config.classes)
        self.kernels = self._kernels()
        self.rows = Rows(self.config, self.run, dataset, self.split, self.device)
        self.second: Background | None = None
        last = self.run.read_meta().get("segments", [{}])[-1:]
        self.ahead = self.config.eval.background is not None or any("background" in segment for segment in last)
        self.train_seconds: dict[int, float] = {}  # on the way to the steps whose rows the second process makes
        self.saved_at = self.measured_at = time.monotonic()

    def run_to_end(self) -> Generator[Step, None, Outcome]:
        with contextlib.ExitStack() as held:
            held.enter_context(self.rows.folder.lock_rows())
            self._mend_checkpoints()
            state = self._resume()
            done = state.step if state else -1
            self.rows.cut_after(done)
            with self._evaluating():
                filled = self._fill([step for step in self.run.checkpoint_steps() if step <= done])
            outcome = self._cut_back(done)
            if outcome:
                return replace(outcome, worked=filled > 0)
            state = state or self._start()
            step = Member(state, self._inputs(), self.config) if self.packed else self._prepare(state)
            self._record_machine(step)
            if self.config.eval.background is not None:
                held.close()
                self.second = held.enter_context(Background(self.config, self.run))
            return (yield from self._train_to_end(state, step, done))

    def _train_to_end(self, state: State, step: Step, done: int) -> Generator[Step, None, Outcome]:
        """Train on from `state`, whose grid steps up to `done` have been seen to, by `step`, yielded before each."""
        outcome: Outcome | None = None
        grid = {step for step in self.config.checkpoint_steps() if step > done}
        for moment in self._train(state, step):
            at_grid_step, news = moment.step in grid, self.second is not None and self.second.has_news
            save = at_grid_step or self.interrupts.requested or self._save_is_due()
            if not (save or news):
                yield step
                continue
            moment.check()
            self.lease.check()
            if at_grid_step:
                self._at_grid_step(moment)
            if save:
                self._save(moment)
            self._collect()
            outcome = self._ended_at(moment.step)
            if outcome:
                break
            self._leave_if_asked()
            yield step
        assert outcome is not None  # the last step is in the grid
        return outcome if self.second is None else self._settle(moment.step)

    def _fill(self, steps: list[int]) -> int:
        """Make the missing rows of `steps`, none past the one that ends the run where a second process made them."""
        made = 0
        for step, number, _ in self.rows.fill(steps):
            rows = self.rows.rows
            if self.ahead and rows and step > rows[-1]["step"] and stopped(self.config.stop, rows):
                break
            made = number
        return made

    def _collect(self, seconds: float = 0.0) -> None:
        """Take note of the rows that the second process has made, waiting up to `seconds` for one."""
        for row, taken in self.second.made(seconds) if self.second else ():
            self.rows.note(row)
            self.run.append_timing(row["step"], self.train_seconds.pop(row["step"], 0.0), taken)

    def _settle(self, step: int) -> Outcome:
        """Wait for the rows of the second process, trained to `step`, and end where they say."""
        assert self.second is not None
        self.beat.phase = "evaluating"
        while self.second.waiting and not stopped(self.config.stop, self.rows.rows):
            self._leave_if_asked()
            self.lease.check()
            self._collect(LOOK_SECONDS)
        outcome = self._cut_back(step)
        assert outcome is not None
        return outcome

    def _cut_back(self, step: int) -> Outcome | None:
        """`_ended_at` of a run trained to `step`, cut back to where the rule of `stop` ends it.

        Nothing is cut that has rows past that: whoever made those did so under another rule.
        """
        rows = self.rows.rows
        stop = stopped(self.config.stop, rows) if self.ahead else None
        if stop and rows[-1]["step"] == stop.step < step:
            step = self.beat.step = stop.step
            self.run.cut_after(step)
        return self._ended_at(step)

    def _kernels(self) -> Kernels:
        """Those that the run has had so far, or the faster ones where it begins, or goes on on another device."""
        segments = self.run.read_meta().get("segments", [])
        if segments and segments[-1].get("device") == self.device.type:
            return kernels.read(segments[-1])
        return kernels.choose(self.config, self.device)

    def _inputs(self) -> Inputs:
        return Inputs(self.images, self.process, self.config, self.labels)

    def _prepare(self, state: State) -> Step:
        if self.packed:
            return Alone(Member(state, self._inputs(), self.config))
        self.beat.loss = None  # its thread asks the device for nothing while a graph is recorded
        return prepare(state, self.images, self.process, self.config, self.kernels, self.labels)

    def _train(self, state: State, step: Step) -> Iterator[State]:
        """`train`, with the heartbeat told of every step."""
        self.beat.phase = "training"
        for moment in train(state, step):
            self.beat.step, self.beat.loss = moment.step, moment.loss
            yield moment

    def _save_is_due(self) -> bool:
        return time.monotonic() - self.saved_at > self.config.train.save_seconds

    def _at_grid_step(self, state: State) -> None:
        begin, before = time.monotonic(), self.measured_at
        snapshot.write_checkpoint(state, self.config, self.split, self.run)
        if self.second is not None:
            self.measured_at = time.monotonic()
            self.train_seconds[state.step] = self.measured_at - before
            self.second.ask(state.step)
            return
        (measured,) = weights.stored(self.config)
        with self._evaluating():
            self.rows.add(snapshot.plain(state, measured, self.config), state.step)
        end = time.monotonic()
        self.run.append_timing(state.step, begin - before, end - begin)
        self.measured_at = end

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        """A stretch of work that an interrupt abandons at once."""
        self._leave_if_asked()
        before, self.beat.phase = self.beat.phase, "evaluating"
        self.interrupts.abandon = True
        try:
            yield
        finally:
            self.interrupts.abandon = False
        self.beat.phase = before

    def _save(self, state: State) -> None:
        waited = self.second.waiting if self.second and self.config.stop.f_mem is not None else set()
        self.run.write_resume(state.step, snapshot.to_bytes(state), also=waited)  # to one of them it may cut back
        self.saved_at = time.monotonic()

    def _start(self) -> State:
        return initial_state(self.config, self.device, start.weights(self.config))

    def _resume(self, at_most: int | None = None) -> State | None:
        point = self.run.read_resume(at_most)
        if point is None:
            return None
        self.beat.step = point[0]
        return snapshot.from_bytes(*point, self.config, self.device)

    def _leave_if_asked(self) -> None:
        if self.interrupts.requested:
            raise Interrupted

    def _ended_at(self, step: int) -> Outcome | None:
        rows = self.rows.rows
        self.beat.f_mem = rows[-1].get("f_mem") if rows else None
        return ended(self.config, step, rows)

    def _mend_checkpoints(self) -> None:
        """Make damaged checkpoints anew, training again from the last resume point at or before them.

        One that is gone is made anew where its row is gone too: rows outlive checkpoints that were cleared away.
        """
        point = self.run.read_resume()
        lost = self.run.timed_steps() - {row["step"] for row in [*self.rows.rows, *self.run.primary.read_rows()]}
        written = {step for step in lost.union(self.run.checkpoint_steps()) if point and step <= point[0]}
        damaged = {step: snapshot.damage(self.run.checkpoint_path(step)) for step in sorted(written)}
        damaged = {step: file for step, file in damaged.items() if file}
        if not damaged:
            return
        state = self._resume(at_most=min(damaged)) or self._start()
        for step, file in damaged.items():
            message = (
                f"{file} is damaged or gone: checkpoint {step} is made anew by training again from step {state.step}"
            )
            warnings.warn(message, DamagedWarning, stacklevel=2)
        for moment in self._train(state, self._prepare(state)):
            self._leave_if_asked()
            if moment.step in damaged:
                moment.check()
                snapshot.write_checkpoint(moment, self.config, self.split, self.run)
            if moment.step == max(damaged):
                break

    def _record_machine(self, step: Step) -> None:
        """Add this process's segment to meta.json; warn where the bits may differ from those before."""
        meta, precision = self.run.read_meta(), machine.precision_of(self.config, self.device)
        here = machine.describe(self.device) | {"precision": precision, "compile": step.compiled}
        here["kernels"] = self.kernels.stored() | ({kernels.PACKED: True} if self.packed else {})
        segments = meta.get("segments", [])
        before = {
            "precision": precision,
            "compile": False,
            "kernels": self.kernels.stored(),
            **(segments or [here])[-1],
        }
        changed = [name for name, value in here.items() if before.get(name) != value]
        if changed:
            message = f"{self.run.path} goes on under another {', '.join(changed)}: equal to rounding, not to the bit"
            warnings.warn(message, UserWarning, stacklevel=2)
        if precision != self.config.train.precision:
            message = (
                f"train.precision={self.config.train.precision}: {self.device} has none, and trains in {precision}"
            )
            warnings.warn(message, UserWarning, stacklevel=2)
        second = {} if self.config.eval.background is None else {"background": self.config.eval.background}
        segment = {"start": time.time(), **here, "graph": step.graph, **second, **machine.git_state()}
        self.run.write_meta({**meta, "segments": [*segments, segment]})
