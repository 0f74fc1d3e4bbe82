"""What `diffmem theory` computes: a table for the figure, facts for the JSON file beside it, and a sentence.

Each verb takes the settings and returns `Made`; nothing is drawn or written here. τ = (steps) lr/d² is in units of the
model, p = psi_p d features and n = psi_n d points.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from diffmem.config.theory import TheoryConfig
from diffmem.data import load, outside_test
from diffmem.theory.covariance import Covariance, covariance, of_data, power_law
from diffmem.theory.dynamics import Curves, finite_curves, limit_curves
from diffmem.theory.simulate import draw
from diffmem.theory.solver import Problem
from diffmem.theory.spectrum import Bands, bands, bulk1_limit, density
from diffmem.theory.timescales import Times, edge_times, loss_times, time_grid

IMAGES = 16384  # of a data set, outside its test split, whose covariance is taken
BINS = 30  # of the simulated histogram, in each band


class Made(NamedTuple):
    """The table behind the figure, what the JSON file holds, and what is said."""

    table: pd.DataFrame
    facts: dict[str, Any]
    sentence: str


def spectrum(config: TheoryConfig) -> Made:
    """Density over every band (kind density), the bands, the atom, and a histogram of simulated eigenvalues.

    Columns kind, part, low, high, density: eigenvalues from low to high (equal for a point of the curve).
    """
    model = _model(config)
    found = bands(**model)
    rows = []
    for band in found.bands:
        part = "+".join(band.parts)
        rows.append({"kind": "band", "part": part, "low": band.low, "high": band.high, "density": band.mass})
        share = (1 - np.cos(np.linspace(0, np.pi, 202)[1:-1])) / 2  # dense at the edges, which are square roots
        lam = band.low * (band.high / band.low) ** share
        rho = density(lam, **model)
        rows += [
            {"kind": "density", "part": part, "low": x, "high": x, "density": y} for x, y in zip(lam, rho, strict=True)
        ]
    if config.draws:
        rows += _histogram(config, model, found)
    names = [f"{'+'.join(b.parts)} [{b.low:.4g}, {b.high:.4g}] of mass {b.mass:.4g}" for b in found.bands]
    atom = {"location": found.atom.location, "mass": found.atom.mass}
    if found.atom.mass:
        names.insert(0, f"an atom at {atom['location']:.4g} of mass {atom['mass']:.4g}")
    merged = "".join(f"; {one} and {other} have merged" for one, other in found.merged)
    facts = {
        "atom": atom,
        "bands": [band._asdict() for band in found.bands],
        "merged": [list(pair) for pair in found.merged],
    }
    return _made(config, pd.DataFrame(rows), facts, "; ".join(names) + merged + ".")


def curves(config: TheoryConfig) -> Made:
    """Train and test loss in the limit (kind limit) and of simulated draws, with the times read off the limit."""
    model = _model(config)
    tau = time_grid(config.points, **model)
    limit = limit_curves(tau, **model)
    tables = [_curve_table(limit).assign(kind="limit", draw=-1)]
    for number in range(config.draws):
        made = draw(config.dimensions, seed=config.seed + number, features=config.features, **model)
        tables.append(_curve_table(finite_curves(made, tau[::4])).assign(kind="simulation", draw=number))
    times = loss_times(limit)
    facts = {"tau_gen": times.gen, "tau_mem": times.mem, "error": limit.error, "best_test": float(limit.test.min())}
    table = pd.concat(tables, ignore_index=True)
    return _made(config, table, facts, f"From the losses: {_said(times)}.")


def timescales(config: TheoryConfig) -> Made:
    """τ_gen and τ_mem against psi_n, at psi_p = psi_p_per_n psi_n (family ratio) and at fixed psi_p (family fixed).

    From the edges (tau_gen, tau_mem), from the losses (with _loss), and by the closed form of bulk 1 (tau_mem_closed,
    for an isotropic covariance). Missing where bands have merged or the curve ends first.
    """
    model = _model(config)
    rows = []
    for family, psi_p_of in (("ratio", lambda n: config.psi_p_per_n * n), ("fixed", lambda n: config.psi_p)):
        for psi_n in sorted(config.psi_n_grid):
            case = {**model, "psi_n": psi_n, "psi_p": psi_p_of(psi_n)}
            edges = edge_times(**case)
            losses = loss_times(limit_curves(time_grid(config.points, **case), **case))
            closed = None
            if config.covariance == "isotropic" and min(case["psi_p"], psi_n) > 1:
                low = bulk1_limit(**{name: value for name, value in case.items() if name != "cov"})[0]
                closed = case["psi_p"] / (Problem.of(**case).numbers.delta_t * low)
            names = ("family", "psi_p", "psi_n", "tau_gen", "tau_mem", "tau_mem_closed", "tau_gen_loss", "tau_mem_loss")
            values = (family, case["psi_p"], psi_n, edges.gen, edges.mem, closed, losses.gen, losses.mem)
            rows.append(dict(zip(names, values, strict=True)))
    table = pd.DataFrame(rows).astype({name: float for name in rows[0] if name != "family"})
    slopes = {name: _slope(table[table["family"] == "ratio"], name) for name in ("tau_mem", "tau_gen")}
    told = [f"{name} ~ psi_n^{slope:.3f}" for name, slope in slopes.items() if slope is not None]
    sentence = f"At psi_p = {config.psi_p_per_n:g} psi_n, from the edges: " + (", ".join(told) or "no slope") + "."
    return _made(config, table, {"slopes": slopes}, sentence)


def predict(config: TheoryConfig) -> Made:
    """Train and test curves on the covariance of `data` for each n, with τ_gen and τ_mem."""
    sigma = _covariance(dataclasses.replace(config, covariance="data"))
    d = config.data.d
    tables, rows = [], []
    for n in sorted(config.n):
        case = {**_model(config, sigma), "psi_n": n / d}
        limit = limit_curves(time_grid(config.points, **case), **case)
        times = loss_times(limit)
        tables.append(_curve_table(limit).assign(n=n, psi_n=n / d, tau_gen=times.gen, tau_mem=times.mem))
        rows.append({"n": n, "tau_gen": times.gen, "tau_mem": times.mem, "best_test": float(limit.test.min())})
    told = "; ".join(f"n = {row['n']}: {_said(Times(row['tau_gen'], row['tau_mem']))}" for row in rows)
    facts = {"times": rows, "d": d, "sigma_x2": sigma.sigma_x2, "largest_eigenvalue": float(sigma.eigenvalues[-1])}
    table = pd.concat(tables, ignore_index=True).astype({"tau_gen": float, "tau_mem": float})
    return _made(config, table, facts, f"{config.data.name}, d = {d}, psi_p = {config.psi_p:g}. {told}.")


VERBS = {"spectrum": spectrum, "curves": curves, "timescales": timescales, "predict": predict}


def _model(config: TheoryConfig, sigma: Covariance | None = None) -> dict[str, Any]:
    """The arguments that every function of the theory takes."""
    names = ("psi_p", "psi_n", "t", "activation")
    return {name: getattr(config, name) for name in names} | {"cov": sigma or _covariance(config)}


def _covariance(config: TheoryConfig) -> Covariance:
    if config.covariance == "levels":
        return covariance((config.eigenvalues, config.weights))
    if config.covariance == "power_law":
        return power_law(config.exponent, config.count)
    if config.covariance == "data":
        images = outside_test(load(config.data), IMAGES).flatten(1).double().numpy()
        return of_data(images * config.data.scale)
    return covariance(None)


def _histogram(config: TheoryConfig, model: dict[str, Any], found: Bands) -> list[dict[str, Any]]:
    """Shares of simulated eigenvalues per unit of λ, without the atom's: bins even in log λ, bands widened by 5%."""
    d = config.dimensions
    drawn = [draw(d, seed=config.seed + k, features=config.features, **model).u for k in range(config.draws)]
    p = len(drawn[0])
    eigenvalues = np.concatenate([np.linalg.eigvalsh(u)[round(found.atom.mass * p) :] for u in drawn])
    rows = []
    for band in found.bands:
        counts, ends = np.histogram(eigenvalues, np.geomspace(band.low / 1.05, band.high * 1.05, BINS + 1))
        shares = counts / (p * len(drawn)) / np.diff(ends)
        for start, end, share in zip(ends[:-1], ends[1:], shares, strict=True):
            rows.append({"kind": "simulation", "part": "", "low": start, "high": end, "density": share})
    return rows


def _curve_table(found: Curves) -> pd.DataFrame:
    names = ("tau", "train", "test", "gen", "score_error")
    return pd.DataFrame({name: getattr(found, name) for name in names})


def _slope(table: pd.DataFrame, name: str) -> float | None:
    """Slope of log `name` against log psi_n; None for fewer than two times."""
    known = table.dropna(subset=name)
    if len(known) < 2:
        return None
    return float(np.polyfit(np.log(known["psi_n"]), np.log(known[name]), 1)[0])


def _said(times: Times) -> str:
    return ", ".join(
        f"{name} {'not reached' if value is None else f'= {value:.4g}'}"
        for name, value in (("tau_gen", times.gen), ("tau_mem", times.mem))
    )


def _made(config: TheoryConfig, table: pd.DataFrame, facts: dict[str, Any], sentence: str) -> Made:
    return Made(table, {"settings": config.to_mapping(), **facts}, sentence)
