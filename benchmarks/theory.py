"""P5, P6: the theory beside the method of six real equations for each lambda, and its curves and simulation.

    python -m benchmarks.theory [--lambdas 400] [--alternative 8] [--repeats 5] [--json FILE]

From the repository's root, on one core (OMP_NUM_THREADS=1). The alternative solves six real equations by scipy's root,
continued from a large imaginary part, one lambda after another (`--alternative` of them, and its time is scaled up);
`apart` is the largest relative difference of the two. psi_p = 8, psi_n = 3, t = 0.1, tanh; the
simulation, of the isotropic model in both rows, has d = 400.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.turns import Row, options, show, timed
from diffmem.theory.covariance import power_law
from diffmem.theory.dynamics import finite_curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.simulate import draw
from diffmem.theory.spectrum import bands, density
from diffmem.theory.timescales import time_grid
from diffmem.training import machine
from tests.helpers.theory_oracles import six_equations

MODEL = Model(psi_p=8.0, psi_n=3.0, t=0.1)
D = 400
LAMBDAS, ALTERNATIVE = 400, 8  # points, and those of them that the six equations are timed on


def spectrum(lambdas: int, alternative: int, repeats: int) -> Row:
    """P5: the spectral density at `lambdas` points of the bands."""
    whole = bands(MODEL).bands
    lam = np.geomspace(whole[0].low / 2, whole[-1].high * 2, lambdas)
    band = max(whole, key=lambda band: band.mass)
    some = np.linspace(band.low, band.high, alternative + 2)[1:-1]
    q: list[complex] = []

    def six() -> None:
        q[:] = [six_equations(MODEL, float(one))[0] for one in some]

    row = timed(f"density at {lambdas} lambda: ours, six real equations", lambda: density(MODEL, lam), six, repeats)
    apart = float(np.max(np.abs(np.imag(q) / np.pi / density(MODEL, some) - 1)))
    theirs = row.theirs / alternative * lambdas
    return replace(row, theirs=theirs, ratio=theirs / row.ours, note=f"apart {apart:.0e}")


def losses(repeats: int) -> Iterator[Row]:
    """P6: train and test loss at 60 training times."""
    tau = time_grid(MODEL, 60)
    real = replace(MODEL, cov=power_law(1.0, 1024))
    for name, model in (("isotropic", MODEL), ("1,024 eigenvalues", real)):
        limit = limit_curves(model, tau).test
        drawn = finite_curves(draw(MODEL, D), tau).test if model is MODEL else None
        note = "" if drawn is None else f"apart {float(np.max(np.abs(drawn / limit - 1))):.1%}, by one draw"
        case = f"losses at 60 times, {name}: limit, simulation at d = {D}"
        yield timed(
            case,
            partial(limit_curves, model, tau),
            lambda: finite_curves(draw(MODEL, D), tau),
            repeats,
            note,
        )


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--lambdas", type=int, default=LAMBDAS)
    parser.add_argument("--alternative", type=int, default=ALTERNATIVE)
    args = parser.parse_args()
    machine.set_threads(1)
    show([spectrum(args.lambdas, args.alternative, args.repeats), *losses(1)], args.json)


if __name__ == "__main__":
    main()
