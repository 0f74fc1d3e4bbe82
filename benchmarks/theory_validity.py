"""How far the limit is from the model with features drawn at random, against the dominance of few directions.

    python -m benchmarks.theory_validity [--draws 2] [--json FILE]

From the repository's root, on one core (OMP_NUM_THREADS=1): three to four minutes. For every covariance and model: the
largest relative difference over training time, of train and test loss, between the limit and the mean of `--draws`
draws of `sampled` features (seeds 0, 1, ..), and the same for the Gaussian equivalent, which obeys the same formulas
and so shows only the 1/d of the draw. Then how well three measures of a spectrum predict the former: the error as a
power of each, and the spread about it as a factor.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffmem.config.compose import compose_theory
from diffmem.theory.chosen import model_of_data
from diffmem.theory.covariance import Cov, power_law
from diffmem.theory.dynamics import Curves, finite_curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.simulate import draw
from diffmem.theory.timescales import time_grid
from diffmem.theory.validity import LARGEST, dominance

MODELS: dict[str, dict[str, Any]] = {
    "tanh": {"psi_p": 8, "psi_n": 3, "t": 0.1, "activation": "tanh"},
    "relu": {"psi_p": 4, "psi_n": 1.5, "t": 0.02, "activation": "relu"},
    "erf": {"psi_p": 3, "psi_n": 6, "t": 0.5, "activation": "erf"},
    "sin": {"psi_p": 2, "psi_n": 8, "t": 0.05, "activation": "sin"},
}
MEASURES = ("dominance", "trace_share", "largest_share")


def spiked(count: int, share: float, d: int) -> Cov:
    """`count` of `d` directions hold `share` of the variance."""
    mu = np.full(d, (1 - share) * d / (d - count))
    mu[:count] = share * d / count
    return mu, np.full(d, 1 / d)


def covariances(d: int) -> dict[str, Cov | None]:
    laws = {f"power law {exponent:g}": power_law(exponent, d) for exponent in (0.5, 0.75, 1, 1.25, 1.5, 2, 3)}
    spikes = {f"{k} of {share:.0%}": spiked(k, share, d) for k, share in ((1, 0.3), (1, 0.6), (5, 0.6), (5, 0.9))}
    return {"isotropic": None, "levels": ([0.5, 1.5], [0.5, 0.5])} | laws | spikes


def away(limit: Curves, model: Model, d: int, features: str, draws: int) -> tuple[float, float]:
    """Largest relative difference from the limit, of (train, test) loss."""
    drawn = [finite_curves(draw(model, d, features=features, seed=seed), limit.tau) for seed in range(draws)]
    train, test = (np.mean([getattr(one, name) for one in drawn], axis=0) for name in ("train", "test"))
    return float(np.max(np.abs(train / limit.train - 1))), float(np.max(np.abs(test / limit.test - 1)))


def measured(name: str, cov: Cov | None, words: str, d: int, draws: int) -> dict[str, Any]:
    model = Model(**MODELS[words], cov=cov)
    limit = limit_curves(model, time_grid(model, 20))
    train, test = away(limit, model, d, "sampled", draws)
    mean, square = model.weight @ model.mu, model.weight @ model.mu**2
    return {
        "covariance": name,
        "d": d,
        "model": words,
        "dominance": dominance(model, d),
        "trace_share": square / (mean**2 * d),  # Tr Σ²/(Tr Σ)²
        "largest_share": model.mu[-1] / (mean * d),
        "train": train,
        "test": test,
        "error": max(train, test),
        "gaussian": max(away(limit, model, d, "gaussian", draws)),
    }


def predicted(table: pd.DataFrame, measure: str) -> dict[str, float]:
    """error = constant measure^power by least squares in logs; `factor` is one standard deviation about it."""
    x, y = np.log(table[measure]), np.log(table["error"])
    power, intercept = np.polyfit(x, y, 1)
    rank = x.rank().corr(y.rank())
    linear = float(np.exp((y - x).mean()))
    factors = {"factor": y - intercept - power * x, "factor_linear": y - x - np.log(linear)}
    spread = {name: float(np.exp(rest.std())) for name, rest in factors.items()}
    return {"rank_correlation": rank, "power": power, "constant": float(np.exp(intercept)), "linear": linear} | spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    digits = model_of_data(compose_theory(["data=digits"])).cov
    cases = [(name, cov, words, 100) for (name, cov), words in itertools.product(covariances(100).items(), MODELS)]
    cases += [("digits", digits, words, 64) for words in MODELS]
    cases += [(name, covariances(200)[name], "tanh", 200) for name in ("isotropic", "power law 1", "power law 2")]
    rows = []
    for name, cov, words, d in cases:
        rows.append(measured(name, cov, words, d, args.draws))
        print(" ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in rows[-1].values()), flush=True)
    table = pd.DataFrame(rows).sort_values("dominance")
    print(table.to_string(index=False, float_format="{:.4f}".format))
    above = table[table["dominance"] > LARGEST]
    fits = pd.DataFrame([predicted(above, measure) for measure in MEASURES], index=MEASURES)
    print(f"\nof the {len(above)} rows whose dominance is above {LARGEST:g}:")
    print(fits.to_string(float_format="{:.2f}".format))
    for percent in (5, 50, 95):
        ratio = np.percentile(above["error"] / above["dominance"], percent)
        print(f"error/dominance, {percent}th percentile: {ratio:.2f}")
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "fits": fits.to_dict("index")}, indent=1) + "\n")


if __name__ == "__main__":
    main()
