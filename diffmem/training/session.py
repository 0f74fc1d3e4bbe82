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

from diffmem.config.settings import Config
from diffmem.data import Dataset, Split, load, split
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.files import DamagedWarning, check_folder
from diffmem.store import RunDir
from diffmem.training import evaluate, machine, snapshot
from diffmem.training.heartbeat import Heartbeat
from diffmem.training.rows import Rows, eval_dir
from diffmem.training.signals import Interrupted, Interrupts
from diffmem.training.train import Diverged, State, initial_state, train

FORMAT = 1  # of the run directory; another number is refused


@dataclass(frozen=True)
class Plan:
    """A run that has been found possible. Nothing has been written."""

    config: Config
    run: RunDir
    dataset: Dataset
    split: Split


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `status` is complete, stopped, diverged or interrupted, `why` says it in words."""

    status: str
    why: str
    worked: bool = True  # false where there was nothing left to do

    @property
    def exit_code(self) -> int:
        return {"complete": 0, "stopped": 0, "diverged": 1, "interrupted": 130}[self.status]


def plan(config: Config) -> Plan:
    """Check everything that can be checked before a run. Raises InputError; writes nothing."""
    machine.resolve_device(config.device)
    dataset = load(config.data)
    parts = split(dataset, config.data)
    evaluate.check(config, parts)
    run = RunDir(Path(config.out_folder) / config.run_id(dataset.sha256))
    check_folder(run.path, "out")
    _check_same_run(run, config)
    return Plan(config, run, dataset, parts)


def plan_evaluation(run: RunDir, config: Config) -> Plan:
    """Check that the stored checkpoints of `run` can be measured as `config` asks. Writes nothing."""
    machine.resolve_device(config.device)
    dataset = load(config.data)
    trained_on = run.read_meta().get("data", {}).get("sha256")
    if dataset.sha256 != trained_on:
        raise InputError(f"data={config.data.name} is not what {run.path} was trained on (its checksum differs).")
    parts = split(dataset, config.data)
    evaluate.check(config, parts)
    return Plan(config, run, dataset, parts)


def execute(planned: Plan) -> Outcome:
    """Train and evaluate to the end, or from where an earlier process left off.

    Raises InputError where another process holds the run, OSError where the disk does not take a file.
    """
    run = planned.run
    with run.lock():
        beat = Heartbeat(run, planned.config.train.steps)
        try:
            _write_settings(planned)
            with Interrupts() as interrupts, beat:
                outcome = _Session(planned, interrupts, beat).run_to_end()
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
        _write_settings(planned)
        interrupts.abandon = True
        device = machine.configure(planned.config)
        rows = Rows(planned.config, run, planned.dataset, planned.split, device)
        return rows.folder.metrics_path, rows.fill(run.checkpoint_steps())


class _Session:
    """One process's work on a run."""

    def __init__(self, planned: Plan, interrupts: Interrupts, beat: Heartbeat) -> None:
        self.config, self.run, self.split = planned.config, planned.run, planned.split
        self.interrupts, self.beat = interrupts, beat
        self.device = machine.configure(self.config)
        self.process = Process.from_config(self.config.diffusion).to(self.device)
        self.images = self.split.train.to(self.device)
        self.rows = Rows(self.config, self.run, planned.dataset, self.split, self.device)
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
        for moment in self._train(state or initial_state(self.config, self.device), grid):
            if moment.step in grid:
                self._at_grid_step(moment)
            self._save(moment)
            outcome = self._ended(moment.step)
            if outcome:
                break
            self._leave_if_asked()
        assert outcome is not None  # the last step is in the grid
        return outcome

    def _train(self, state: State, stops: set[int]) -> Iterator[State]:
        """`train` with the heartbeat, pausing to save and to leave."""

        def pause() -> bool:
            self.beat.step, self.beat.loss = state.step, state.loss
            return self.interrupts.requested or time.monotonic() - self.saved_at > self.config.train.save_seconds

        self.beat.phase = "training"
        yield from train(state, self.images, self.process, self.config, stops=stops, pause=pause)

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
        for moment in self._train(state, set(damaged)):
            if moment.step in damaged:
                snapshot.write_checkpoint(moment, self.config, self.split, self.run.checkpoint_path(moment.step))
            self.saved_at = time.monotonic()
            self._leave_if_asked()

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


def _write_settings(planned: Plan) -> None:
    """config.yaml (its evaluation settings stay those of the first start) and the constant part of meta.json."""
    run, config = planned.run, planned.config
    settings = config.to_mapping()
    if run.config_path.exists():
        first = run.read_config()
        settings |= {name: first[name] for name in ("eval", "sampler")}
    if not run.config_path.exists() or first != settings:
        run.write_config(settings)
    if not run.read_meta():
        dataset = planned.dataset
        about = {"sha256": dataset.sha256, "source": dataset.source, "licence": dataset.licence}
        run.write_meta({"format": FORMAT, "data": about, "segments": []})
    folder = eval_dir(run, config)
    if folder != run.primary:
        folder.write_settings(config.evaluation())


def _check_same_run(run: RunDir, config: Config) -> None:
    """Refuse a directory that another version wrote, or that holds another run."""
    if not run.config_path.exists():
        return
    written = run.read_meta().get("format", FORMAT)
    if written != FORMAT:
        raise InputError(
            f"{run.path} was written in format {written}, and this version reads format {FORMAT}: use the version of "
            "diffmem that wrote it, or another out."
        )
    if Config.from_mapping(run.read_config()).trajectory() != config.trajectory():
        raise InputError(f"{run.path} holds a run with other settings: move it away, or choose another out.")
