"""Theory, a random-features model and trained networks at one diffusion time t, on the same images.

  limit     the curves of `dynamics` for Gaussian data with the images' covariance, every n
  features  a random-features model trained by gradient descent on the images themselves: finite, and not Gaussian
  network   what a family of networks measured, at step k drawn at τ = c k

L* is the loss of the exact score of Gaussian data with that covariance (Wiener's denoiser, the best affine one). The
limit never comes below it: from where a network does, it knows more of images than their covariance, and theory stops
being one of them. c is one number for the family, by which the test losses of limit and network are nearest at the
largest n, in mean square of their logarithms, while that of the network is above L*.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from diffmem.config.data import DataConfig
from diffmem.config.theory import TheoryConfig
from diffmem.data import load, outside_test, split
from diffmem.errors import InputError
from diffmem.theory.chosen import IMAGES, model_of_data
from diffmem.theory.constants import Array
from diffmem.theory.descent import Descent, descend, on_points
from diffmem.theory.dynamics import Curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.tables import Made
from diffmem.theory.timescales import Times, loss_times, time_grid
from diffmem.theory.validity import check

SCALES = 2000  # τ of a step that are tried, log-spaced


@dataclass(frozen=True, kw_only=True)
class Network:
    """The losses of one trained network at steps [K] after 0, on the images that `data` names."""

    run: str
    data: DataConfig
    step: Array
    train: Array
    test: Array


def overlay(config: TheoryConfig, networks: Sequence[Network], say: Callable[[str], None] = lambda words: None) -> Made:
    """The losses of all three for every n of `networks`, how far each is from the limit, and the times of all.

    `config.t` is the diffusion time of the networks' losses. Of several networks of one n the random features are
    trained on the images of the first. Raises InputError where the network of the largest n is below L* from the start.
    """
    ordered = sorted(networks, key=lambda one: (one.data.n, one.run))
    model, d = model_of_data(config), config.data.d
    valid = check(model, d)._asdict()
    parts: list[tuple[str, str, int, Curves | Descent | Network]] = []
    for n in dict.fromkeys(one.data.n for one in ordered):
        first = next(one for one in ordered if one.data.n == n)
        say(f"the limit and random features on {n} images")
        at_n = replace(model, psi_n=n / d)
        limit = limit_curves(at_n, time_grid(at_n, config.points))
        parts += [("limit", "", n, limit), ("features", "", n, _features(at_n, first.data, config.seed))]
        parts += [("network", one.run, n, one) for one in ordered if one.data.n == n]
    limits = {n: curve for kind, _, n, curve in parts if kind == "limit" and isinstance(curve, Curves)}
    best = limits[ordered[0].data.n].best
    scale = _scale(limits[ordered[-1].data.n], ordered[-1])
    table = pd.concat([_table(curve, scale).assign(kind=kind, run=run, n=n) for kind, run, n, curve in parts])
    rows = [_compared(table, limits[n], kind, run, n, best) for kind, run, n, _ in parts]
    facts: dict[str, Any] = {"curves": rows, "best": best, "tau_per_step": scale, "d": d, "t": config.t}
    sentence = f"{config.data.name}, d = {d}, t = {config.t:.3g}, psi_p = {config.psi_p:g}. {_said(rows)}"
    return Made(table.reset_index(drop=True), {**facts, "validity": valid}, sentence)


def _features(model: Model, data: DataConfig, seed: int) -> Descent:
    """Random features trained on the images of `data`, about the mean image of the set."""
    dataset = load(data)
    parts = split(dataset, data)
    mean = (outside_test(dataset, IMAGES).mean(dim=0) - parts.mean) * parts.scale
    train, test = ((images - mean).flatten(1).double().numpy() for images in (parts.train, parts.test))
    d = train.shape[1]
    w = np.random.default_rng(seed).standard_normal((round(model.psi_p * d), d)) / np.sqrt(d)
    return descend(on_points(model, train, test, w))


def _scale(limit: Curves, network: Network) -> float:
    """τ of a step."""
    early = network.test > limit.best
    if not early.any():
        raise InputError(
            f"{network.run}: the test loss is below the {limit.best:.3g} that Gaussian data allow at the first row "
            f"after step 0 (step {network.step[0]:.0f}): measure earlier, by a smaller grid.first."
        )
    step, test = network.step[early], np.log(network.test[early])
    scales = np.geomspace(limit.tau[0] / step[0], limit.tau[-1] / step[-1], SCALES)
    near = np.interp(np.log(scales[:, None] * step), np.log(limit.tau), np.log(limit.test))
    return float(scales[np.square(near - test).mean(axis=1).argmin()])


def _table(curve: Curves | Descent | Network, scale: float) -> pd.DataFrame:
    tau = scale * curve.step if isinstance(curve, Network) else curve.tau
    step = curve.step if isinstance(curve, Network) else np.nan
    return pd.DataFrame({"tau": tau, "step": step, "train": curve.train, "test": curve.test})


def _compared(table: pd.DataFrame, limit: Curves, kind: str, run: str, n: int, best: float) -> dict[str, Any]:
    """How far one curve is from the limit, its times, and when it comes below L*."""
    rows = table[(table["kind"] == kind) & (table["run"] == run) & (table["n"] == n)]
    inside = rows[rows["tau"].between(limit.tau[0], limit.tau[-1])]
    away = {}
    for name in ("train", "test"):
        known = np.interp(np.log(inside["tau"]), np.log(limit.tau), getattr(limit, name))
        away[name] = float(np.max(np.abs(inside[name].to_numpy() / known - 1), initial=0.0))
    times = _times(rows)
    below = rows.loc[rows["test"] < best, "tau"]
    named = {"kind": kind, "run": run, "n": n, "away_train": away["train"], "away_test": away["test"]}
    named |= {"tau_gen": times.gen, "tau_mem": times.mem, "best_test": float(rows["test"].min())}
    return {**named, "below_best_from": float(below.min()) if len(below) else None}


def _times(rows: pd.DataFrame) -> Times:
    """τ_gen and τ_mem by the losses; none where the curve begins past them."""
    tau, train, test = (rows[name].to_numpy() for name in ("tau", "train", "test"))
    try:
        return loss_times(Curves(tau=tau, train=train, test=test, best=np.nan, delta_t=np.nan))
    except InputError:
        return Times(None, None)


def _said(rows: Sequence[dict[str, Any]]) -> str:
    """How far random features and networks are, and since when networks are past the theory."""
    told = []
    for kind, words in (("features", "random features on the images"), ("network", "networks")):
        of_kind = [row for row in rows if row["kind"] == kind]
        far = [
            f"{name} by up to {100 * max(row[f'away_{name}'] for row in of_kind):.2g}%" for name in ("train", "test")
        ]
        told.append(f"{words} are off the limit in {' and '.join(far)} loss")
    passed = [f"n = {row['n']} from tau = {row['below_best_from']:.3g}" for row in rows if row["below_best_from"]]
    end = f"below what Gaussian data allow: {', '.join(passed)}" if passed else "none is below what Gaussian data allow"
    return "; ".join([*told, end]) + "."
