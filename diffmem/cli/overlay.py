"""The networks of `diffmem theory overlay`: the losses of a family of runs at one diffusion time."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd

from diffmem.config.settings import Config
from diffmem.config.theory import TheoryConfig
from diffmem.errors import InputError
from diffmem.theory.overlay import Network


def read_networks(config: TheoryConfig) -> tuple[TheoryConfig, list[Network]]:
    """The runs in `config.family`, and `config` with their data and the diffusion time of their losses.

    Raises InputError for a folder without run directories, runs of points or of two networks' losses at no common time,
    and a process that has no noise to speak of at that time.
    """
    from diffmem.analysis.tables.family import read_table
    from diffmem.diffusion.process import Process
    from diffmem.store import RunDir

    if config.family is None:
        raise InputError("overlay needs a folder of runs: diffmem theory overlay runs/quickstart.")
    family = read_table(config.family)
    paths = dict(zip(family.runs["run"], family.runs["path"], strict=True))
    if any(path is None for path in paths.values()):
        raise InputError(f"{config.family} is a table, and overlay needs the images of the runs: name their folder.")
    settings = {name: Config.from_stored(RunDir(Path(path)).read_config()) for name, path in paths.items()}
    at = _time(family.rows, config.at, str(config.family))
    networks = []
    for run, rows in family.rows.groupby("run", sort=False):
        rows = rows[rows["step"] > 0].dropna(subset=[f"loss_train_t{at}", f"loss_test_t{at}"])
        step, train, test = (rows[name].to_numpy(float) for name in ("step", f"loss_train_t{at}", f"loss_test_t{at}"))
        if len(step) < 2:
            raise InputError(f"{run} has fewer than two rows after step 0: train it further, or leave it out.")
        networks.append(Network(run=str(run), data=settings[str(run)].data, step=step, train=train, test=test))
    first = settings[networks[0].run]
    alpha_bar = float(Process.from_config(first.diffusion).alpha_bar[at])
    return replace(config, data=first.data, t=-math.log(alpha_bar) / 2), networks


def _time(rows: pd.DataFrame, asked: int | None, source: str) -> int:
    """The diffusion time that all runs have losses at: the one `asked` for, or the middle one."""
    names = [str(name) for name in rows if str(name).startswith("loss_test_t") and not str(name).endswith("_se")]
    known = sorted(int(name.removeprefix("loss_test_t")) for name in names if rows[name].notna().all())
    if not known:
        raise InputError(f"{source}: its runs have no losses at a common diffusion time: `diffmem evaluate` them.")
    if asked is not None and asked not in known:
        raise InputError(
            f"at={asked} is no diffusion time of the losses of {source}: use {', '.join(map(str, known))}."
        )
    return known[len(known) // 2] if asked is None else asked
