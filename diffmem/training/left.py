"""What is left of a run, read from its directory: steps to train, checkpoints to write, rows to measure.

It is what `session` would find to do. Whether the files are intact is not looked at.
"""

from dataclasses import dataclass

from diffmem.config.identity import MEASURES
from diffmem.training.plan import Plan
from diffmem.training.rows import eval_dir
from diffmem.training.session import ended


@dataclass(frozen=True)
class Left:
    """Work that remains; `step` is where training goes on from (-1: it has not begun)."""

    step: int
    steps: int
    checkpoints: int
    rows: int

    @property
    def state(self) -> str:
        """new, begun or over."""
        if not self.steps and not self.rows:
            return "over"
        return "new" if self.step < 0 else "begun"


def left(planned: Plan) -> Left:
    """What is left of the run. Raises InputError for damaged settings or rows."""
    config, run = planned.config, planned.run
    grid = config.checkpoint_steps()
    if not run.config_path.exists():
        return Left(-1, config.train.steps, len(grid), len(grid))
    step = run.resume_step()
    folder = eval_dir(run, config)
    stale = folder == run.primary and run.read_meta().get("measures", 1) != MEASURES
    rows = (
        [] if stale else sorted((row for row in folder.read_rows() if row["step"] <= step), key=lambda row: row["step"])
    )
    missing = len({there for there in run.checkpoint_steps() if there <= step} - {row["step"] for row in rows})
    if ended(config, step, rows):
        return Left(step, 0, 0, missing)
    ahead = sum(there > step for there in grid)
    return Left(step, config.train.steps - max(step, 0), ahead, missing + ahead)
