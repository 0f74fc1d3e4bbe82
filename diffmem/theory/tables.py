"""What `diffmem theory` computes: a table for the figure, facts for the JSON file beside it, and a sentence.

Each public function is one figure, of the same name in `analysis.figures.theory`; nothing is drawn or written here.
Where it takes seconds, `say` is told what is computed.
τ = (steps) lr/d² is in units of the model, p = psi_p d features and n = psi_n d points.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from diffmem.config.theory import TheoryConfig
from diffmem.theory.chosen import chosen_model, model_of_data
from diffmem.theory.constants import Array
from diffmem.theory.dynamics import Curves, finite_curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.simulate import Draw, draw
from diffmem.theory.spectrum import Band, Bands, bands, bulk1_limit, density
from diffmem.theory.timescales import Times, edge_times, loss_times, time_grid
from diffmem.theory.validity import check

Say = Callable[[str], None]
POINTS = 200  # of the density, in each band
BINS = 30  # of the simulated histogram, in each band


class Made(NamedTuple):
    """The table behind the figure, what the JSON file holds beside the settings, and what is said."""

    table: pd.DataFrame
    facts: dict[str, Any]
    sentence: str


class SpectrumRow(NamedTuple):
    """Eigenvalues from low to high, which are equal for a point of the curve."""

    kind: str  # band, density or simulation
    part: str
    low: float
    high: float
    density: float  # a share of the eigenvalues per unit of λ; of a band its whole share


class TimesRow(NamedTuple):
    """The times of one model. None where bands have merged, where the curve ends first, or without a closed form."""

    family: str  # ratio or fixed
    psi_p: float
    psi_n: float
    tau_gen: float | None  # from the edges
    tau_mem: float | None
    tau_mem_closed: float | None  # from the closed form of bulk 1
    tau_gen_loss: float | None  # from the losses
    tau_mem_loss: float | None


def spectrum(config: TheoryConfig, say: Say = lambda words: None) -> Made:
    """Density over every band (kind density), the bands, and a histogram of simulated eigenvalues: SpectrumRow."""
    config.check_simulation()
    model = chosen_model(config)
    valid = _valid(config, model)
    say("the bands of the spectrum and the density in each")
    limit = bands(model)
    rows: list[SpectrumRow] = []
    for band in limit.bands:
        rows.append(SpectrumRow("band", _parts(band), band.low, band.high, band.mass))
        rows.extend(_density_rows(model, band))
    if config.draws:
        rows.extend(_histogram_rows(limit, _simulated_spectra(config, model, say)))
    facts = {
        "atom": limit.atom._asdict(),
        "bands": [band._asdict() for band in limit.bands],
        "merged": [list(pair) for pair in limit.merged],
        "validity": valid,
    }
    return Made(pd.DataFrame(rows), facts, _said_of_bands(limit))


def curves(config: TheoryConfig, say: Say = lambda words: None) -> Made:
    """Train and test loss in the limit (kind limit) and of simulated draws, with the times read off the limit."""
    config.check_simulation()
    model = chosen_model(config)
    valid = _valid(config, model)
    tau = time_grid(model, config.points)
    say(f"the losses at {len(tau)} training times")
    limit = limit_curves(model, tau)
    drawn = [finite_curves(one, tau[::4]) for one in _draws(config, model, say)]
    tables = [_curve_table(limit).assign(kind="limit", draw=-1)]
    tables += [_curve_table(one).assign(kind="simulation", draw=number) for number, one in enumerate(drawn)]
    times, away = loss_times(limit), _away(limit, drawn)
    facts: dict[str, Any] = {"tau_gen": times.gen, "tau_mem": times.mem}
    facts |= {"error": limit.error, "best_test": float(limit.test.min())}
    facts |= {"simulated_error": away, "validity": valid}
    sentence = f"From the losses: {_said_of_times(times)}."
    if away is not None:
        sentence += f" Simulated ({config.features} features, d = {config.dimensions}): off by up to {100 * away:.2g}%."
    return Made(pd.concat(tables, ignore_index=True), facts, sentence)


def timescales(config: TheoryConfig, say: Say = lambda words: None) -> Made:
    """τ_gen and τ_mem against psi_n, at psi_p = psi_p_per_n psi_n (family ratio) and at fixed psi_p: TimesRow."""
    model, grid = chosen_model(config), sorted(config.psi_n_grid)
    valid = _valid(config, model)
    growing = [replace(model, psi_n=psi_n, psi_p=config.psi_p_per_n * psi_n) for psi_n in grid]
    fixed = [replace(model, psi_n=psi_n) for psi_n in grid]
    asked = [("ratio", one) for one in growing] + [("fixed", one) for one in fixed]
    rows = []
    for number, (family, one) in enumerate(asked, start=1):
        say(f"times at psi_p = {one.psi_p:g}, psi_n = {one.psi_n:g}: {number} of {len(asked)}")
        rows.append(_times_row(config, family, one))
    table = pd.DataFrame(rows).astype({name: float for name in TimesRow._fields if name != "family"})
    along = table[table["family"] == "ratio"]
    slopes = {name: _slope(along, name) for name in ("tau_mem", "tau_gen")}
    told = ", ".join(f"{name} ~ psi_n^{slope:.3f}" for name, slope in slopes.items() if slope is not None)
    sentence = f"At psi_p = {config.psi_p_per_n:g} psi_n, from the edges: {told or 'no slope'}."
    return Made(table, {"slopes": slopes, "validity": valid}, sentence)


def predict(config: TheoryConfig, say: Say = lambda words: None) -> Made:
    """Train and test curves on the covariance of `data` for each n, with τ_gen and τ_mem."""
    model, d = model_of_data(config), config.data.d
    valid = check(model, d)._asdict()
    tables, facts, told = [], [], []
    for number, n in enumerate(sorted(config.n), start=1):
        say(f"the losses for n = {n}: {number} of {len(config.n)}")
        at_n = replace(model, psi_n=n / d)
        limit = limit_curves(at_n, time_grid(at_n, config.points))
        times = loss_times(limit)
        tables.append(_curve_table(limit).assign(n=n, psi_n=n / d, tau_gen=times.gen, tau_mem=times.mem))
        facts.append({"n": n, "tau_gen": times.gen, "tau_mem": times.mem, "best_test": float(limit.test.min())})
        told.append(f"n = {n}: {_said_of_times(times)}")
    sigma = {"sigma_x2": model.constants.sigma_x2, "largest_eigenvalue": float(model.mu[-1])}
    table = pd.concat(tables, ignore_index=True).astype({"tau_gen": float, "tau_mem": float})
    sentence = f"{config.data.name}, d = {d}, psi_p = {config.psi_p:g}. {'; '.join(told)}."
    return Made(table, {"times": facts, "d": d, **sigma, "validity": valid}, sentence)


def _valid(config: TheoryConfig, model: Model) -> dict[str, Any]:
    """The validity of the chosen model, at the d of its covariance or else of its draws; it warns."""
    return check(model, config.directions or config.dimensions)._asdict()


def _density_rows(model: Model, band: Band) -> Iterable[SpectrumRow]:
    """The density at POINTS places of a band, dense at its edges, where it is a square root."""
    share = (1 - np.cos(np.linspace(0, np.pi, POINTS + 2)[1:-1])) / 2
    lam = band.low * (band.high / band.low) ** share
    for place, rho in zip(lam, density(model, lam), strict=True):
        yield SpectrumRow("density", _parts(band), place, place, rho)


def _draws(config: TheoryConfig, model: Model, say: Say) -> Iterable[Draw]:
    """The simulated draws, one at a time."""
    d = config.dimensions
    for number, seed in enumerate(range(config.seed, config.seed + config.draws), start=1):
        size = f"{config.psi_p * d:.0f} features, {config.psi_n * d:.0f} points"
        say(f"simulated draw {number} of {config.draws}: {size}")
        yield draw(model, config.dimensions, features=config.features, seed=seed)


def _away(limit: Curves, drawn: list[Curves]) -> float | None:
    """The largest relative difference of train or test loss between the limit at every fourth τ and the mean draw."""
    if not drawn:
        return None
    means = {name: np.mean([getattr(one, name) for one in drawn], axis=0) for name in ("train", "test")}
    return max(float(np.max(np.abs(mean / getattr(limit, name)[::4] - 1))) for name, mean in means.items())


def _simulated_spectra(config: TheoryConfig, model: Model, say: Say) -> Array:
    """The eigenvalues of every simulated draw, ascending: [draws, p]."""
    return np.stack([np.linalg.eigvalsh(drawn.u) for drawn in _draws(config, model, say)])


def _histogram_rows(limit: Bands, spectra: Array) -> Iterable[SpectrumRow]:
    """Shares of simulated eigenvalues per unit of λ, without the atom's: bins even in log λ, bands widened by 5%."""
    outside_atom = spectra[:, round(limit.atom.mass * spectra.shape[1]) :]
    for band in limit.bands:
        counts, ends = np.histogram(outside_atom, np.geomspace(band.low / 1.05, band.high * 1.05, BINS + 1))
        for low, high, count in zip(ends[:-1], ends[1:], counts, strict=True):
            yield SpectrumRow("simulation", "", low, high, count / spectra.size / (high - low))


def _times_row(config: TheoryConfig, family: str, model: Model) -> TimesRow:
    edges = edge_times(model)
    losses = loss_times(limit_curves(model, time_grid(model, config.points)))
    closed = None
    if config.covariance == "isotropic" and min(model.psi_p, model.psi_n) > 1:  # where there is a bulk 1
        low, _ = bulk1_limit(model)
        closed = model.psi_p / (model.constants.delta_t * low)
    return TimesRow(family, model.psi_p, model.psi_n, edges.gen, edges.mem, closed, losses.gen, losses.mem)


def _slope(table: pd.DataFrame, name: str) -> float | None:
    """Slope of log `name` against log psi_n; None for fewer than two times."""
    known = table.dropna(subset=name)
    if len(known) < 2:
        return None
    return float(np.polyfit(np.log(known["psi_n"]), np.log(known[name]), 1)[0])


def _curve_table(losses: Curves) -> pd.DataFrame:
    names = ("tau", "train", "test", "gen", "score_error")
    return pd.DataFrame({name: getattr(losses, name) for name in names})


def _parts(band: Band) -> str:
    return "+".join(band.parts)


def _said_of_bands(limit: Bands) -> str:
    atom = [f"an atom at {limit.atom.location:.4g} of mass {limit.atom.mass:.4g}"] if limit.atom.mass else []
    held = [f"{_parts(band)} [{band.low:.4g}, {band.high:.4g}] of mass {band.mass:.4g}" for band in limit.bands]
    merged = [f"{one} and {other} have merged" for one, other in limit.merged]
    return "; ".join(atom + held + merged) + "."


def _said_of_times(times: Times) -> str:
    return f"{_said('tau_gen', times.gen)}, {_said('tau_mem', times.mem)}"


def _said(name: str, tau: float | None) -> str:
    return f"{name} not reached" if tau is None else f"{name} = {tau:.4g}"
