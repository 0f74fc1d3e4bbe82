"""One run from its settings to a finished directory: settings -> objects -> train x evaluate -> store.

Idempotent: a finished run is left alone, an unfinished one goes on from its last resume point, and damage on disk is
mended from the last intact point before it. At a grid step the order of writes is checkpoint, samples, row, resume
point; a row depends on its checkpoint alone, so whatever a kill cut off is made again with the same bytes.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from diffmem.data import Dataset, load, split
from diffmem.diffusion.process import Process
from diffmem.files import DamagedWarning
from diffmem.training import machine, snapshot
from diffmem.training.heartbeat import Heartbeat
from diffmem.training.initial import Diverged, State, initial_state
from diffmem.training.plan import FORMAT, Plan
from diffmem.training.rows import Rows, eval_dir
from diffmem.training.signals import Interrupted, Interrupts
from diffmem.training.train import train


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

    Raises InputError where another process holds the run, OSError where the disk does not take a file.
    """
    run = planned.run
    with run.lock():
        beat = Heartbeat(run, planned.config.train.steps)
        try:
            dataset = load(planned.config.data)
            _write_settings(planned, dataset)
            with Interrupts() as interrupts, beat:
                outcome = _Session(planned, dataset, interrupts, beat).run_to_end()
        except Diverged as diverged:
            outcome = Outcome("diverged", f"{diverged}: try a smaller optimizer.lr, or optimizer.clip=1")
        except Interrupted:
            outcome = Outcome("interrupted", f"left near step {beat.step}: the same command goes on from there")
        except Exception as error:
            with contextlib.suppress(OSError):
                run.write_status({"status": "failed", "why": f"{type(error).__name__}: {error}", "step": beat.step})
            raise
        run.write_status({"status": outcome.status, "why": outcome.why, "step": beat.step, "f_mem": beat.f_mem})
    return outcome


def fill(planned: Plan) -> tuple[Path, int]:
    """Compute the rows that the evaluation settings ask for and that are missing, from stored checkpoints.

    Returns the file of the rows and how many were made. Raises Interrupted, and InputError for a damaged checkpoint.
    """
    run = planned.run
    with run.lock(), Interrupts() as interrupts:
        dataset = load(planned.config.data)
        _write_settings(planned, dataset)
        interrupts.abandon = True
        device = machine.configure(planned.config)
        rows = Rows(planned.config, run, dataset, split(dataset, planned.config.data), device)
        return rows.folder.metrics_path, rows.fill(run.checkpoint_steps())


class _Session:
    """One process's work on a run."""

    def __init__(self, planned: Plan, dataset: Dataset, interrupts: Interrupts, beat: Heartbeat) -> None:
        self.config, self.run = planned.config, planned.run
        self.split = split(dataset, self.config.data)
        self.interrupts, self.beat = interrupts, beat
        self.device = machine.configure(self.config)
        self.process = Process.from_config(self.config.diffusion).to(self.device)
        self.images = self.split.train.to(self.device)
        self.rows = Rows(self.config, self.run, dataset, self.split, self.device)
        self.saved_at = self.measured_at = time.monotonic()

    def run_to_end(self) -> Outcome:
        self._mend_checkpoints()
        state = self._resume()
        done = state.step if state else -1
        self.rows.cut_after(done)
        with self._evaluating():
            filled = self.rows.fill([step for step in self.run.checkpoint_steps() if step <= done])
        outcome = self._ended(done)
        if outcome:
            return replace(outcome, worked=filled > 0)
        self._record_machine()
        grid = {step for step in self.config.checkpoint_steps() if step > done}
        for moment in self._train(state or initial_state(self.config, self.device)):
            at_grid_step = moment.step in grid
            if not (at_grid_step or self.interrupts.requested or self._save_is_due()):
                continue
            moment.check()
            if at_grid_step:
                self._at_grid_step(moment)
            self._save(moment)
            outcome = self._ended(moment.step)
            if outcome:
                break
            self._leave_if_asked()
        assert outcome is not None  # the last step is in the grid
        return outcome

    def _train(self, state: State) -> Iterator[State]:
        """`train`, with the heartbeat told of every step."""
        self.beat.phase = "training"
        for moment in train(state, self.images, self.process, self.config):
            self.beat.step, self.beat.loss = moment.step, moment.loss
            yield moment

    def _save_is_due(self) -> bool:
        return time.monotonic() - self.saved_at > self.config.train.save_seconds

    def _at_grid_step(self, state: State) -> None:
        begin = time.monotonic()
        snapshot.write_checkpoint(state, self.config, self.split, self.run.checkpoint_path(state.step))
        averaged = self.config.eval.weights == "ema"
        with self._evaluating():
            self.rows.add(snapshot.with_ema(state, self.config) if averaged else state.model, state.step)
        end = time.monotonic()
        self.run.append_timing(state.step, begin - self.measured_at, end - begin)
        self.measured_at = end

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        """A stretch of work that an interrupt abandons at once."""
        self._leave_if_asked()
        before, self.beat.phase = self.beat.phase, "evaluating"
        self.interrupts.abandon = True
        yield
        self.interrupts.abandon = False
        self.beat.phase = before

    def _save(self, state: State) -> None:
        self.run.write_resume(state.step, snapshot.to_bytes(state))
        self.saved_at = time.monotonic()

    def _resume(self, at_most: int | None = None) -> State | None:
        point = self.run.read_resume(at_most)
        if point is None:
            return None
        self.beat.step = point[0]
        return snapshot.from_bytes(*point, self.config, self.device)

    def _leave_if_asked(self) -> None:
        if self.interrupts.requested:
            raise Interrupted

    def _ended(self, step: int) -> Outcome | None:
        """Whether a run that has come to `step` is over: by its last step, or by the rule of `stop`."""
        rows = self.rows.rows
        self.beat.f_mem = rows[-1].get("f_mem") if rows else None
        if step >= self.config.train.steps:
            return Outcome("complete", f"trained to step {step}")
        level, after = self.config.stop.f_mem, self.config.stop.after
        if level is not None:
            above = [index for index, row in enumerate(rows) if row["f_mem"] > level]
            if above and len(rows) - 1 - above[0] >= after:
                return Outcome("stopped", f"f_mem passed stop.f_mem={level} at step {rows[above[0]]['step']}")
        return None

    def _mend_checkpoints(self) -> None:
        """Make damaged checkpoints anew, training again from the last resume point at or before them."""
        point = self.run.read_resume()
        written = [step for step in self.run.checkpoint_steps() if point and step <= point[0]]
        damaged = {step: snapshot.damage(self.run.checkpoint_path(step)) for step in written}
        damaged = {step: file for step, file in damaged.items() if file}
        if not damaged:
            return
        state = self._resume(at_most=min(damaged)) or initial_state(self.config, self.device)
        for step, file in damaged.items():
            message = f"{file} is damaged: checkpoint {step} is made anew by training again from step {state.step}"
            warnings.warn(message, DamagedWarning, stacklevel=2)
        for moment in self._train(state):
            self._leave_if_asked()
            if moment.step in damaged:
                moment.check()
                snapshot.write_checkpoint(moment, self.config, self.split, self.run.checkpoint_path(moment.step))
            if moment.step == max(damaged):
                break

    def _record_machine(self) -> None:
        """Add this process's segment to meta.json; warn where the bits may differ from those before."""
        meta, here = self.run.read_meta(), machine.describe(self.device)
        segments = meta["segments"]
        changed = [name for name, value in here.items() if segments and segments[-1].get(name) != value]
        if changed:
            message = f"{self.run.path} goes on under another {', '.join(changed)}: equal to rounding, not to the bit"
            warnings.warn(message, UserWarning, stacklevel=2)
        segment = {"start": time.time(), **here, **machine.git_state()}
        self.run.write_meta({**meta, "segments": [*segments, segment]})


def _write_settings(planned: Plan, dataset: Dataset) -> None:
    """config.yaml (its evaluation settings stay those of the first start) and the constant part of meta.json."""
    run, config = planned.run, planned.config
    settings = config.to_mapping()
    if run.config_path.exists():
        first = run.read_config()
        settings |= {name: first[name] for name in ("eval", "sampler")}
    if not run.config_path.exists() or first != settings:
        run.write_config(settings)
    if not run.read_meta():
        about = {"sha256": dataset.sha256, "source": dataset.source, "licence": dataset.licence}
        run.write_meta({"format": FORMAT, "data": about, "segments": []})
    folder = eval_dir(run, config)
    if folder != run.primary:
        folder.write_settings(config.evaluation())
