"""The theory beside the method of six real equations for each lambda, and its curves and simulation.

    python -m benchmarks.theory [--lambdas 400] [--alternative 8] [--repeats 5] [--json FILE]

From the repository's root, on one core (OMP_NUM_THREADS=1). The alternative solves six real equations by scipy's root,
continued from a large imaginary part, one lambda after another (`--alternative` of them, and its time is scaled up);
`apart` is the largest relative difference of the two densities there. psi_p = 8, psi_n = 3, t = 0.1, tanh; the
simulation has d = 400. Medians over `--repeats`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffmem.theory.covariance import power_law
from diffmem.theory.dynamics import finite_curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.simulate import draw
from diffmem.theory.spectrum import bands, density
from diffmem.theory.timescales import time_grid
from tests.helpers.theory_oracles import six_equations

MODEL = Model(psi_p=8.0, psi_n=3.0, t=0.1)


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median wall-clock time."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lambdas", type=int, default=400)
    parser.add_argument("--alternative", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    whole = bands(MODEL).bands
    lam = np.geomspace(whole[0].low / 2, whole[-1].high * 2, args.lambdas)
    ours = seconds(lambda: density(MODEL, lam), args.repeats)
    band = max(whole, key=lambda band: band.mass)
    some = np.linspace(band.low, band.high, args.alternative + 2)[1:-1]
    start = time.perf_counter()
    q = [six_equations(MODEL, float(one))[0] for one in some]
    six = (time.perf_counter() - start) / args.alternative * args.lambdas
    apart = float(np.max(np.abs(np.imag(q) / np.pi / density(MODEL, some) - 1)))
    print(
        f"{args.lambdas} lambda: {ours:.3f} s; six real equations: {six:.1f} s ({six / ours:.0f}x), apart {apart:.0e}"
    )

    tau = time_grid(MODEL, 60)
    limit = seconds(lambda: limit_curves(MODEL, tau), args.repeats)
    real = replace(MODEL, cov=power_law(1.0, 1024))
    limit_real = seconds(lambda: limit_curves(real, tau), 1)
    print(f"limit curves at 60 tau: {limit:.2f} s; with 1024 eigenvalues: {limit_real:.2f} s")
    simulated = seconds(lambda: finite_curves(draw(MODEL, 400), tau), 1)
    print(f"simulation at d = 400 with all tau: {simulated:.1f} s")
    if args.json:
        table = {"density_seconds": ours, "six_equations_seconds": six, "apart": apart, "limit_seconds": limit}
        table |= {"limit_1024_seconds": limit_real, "simulation_seconds": simulated}
        args.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
