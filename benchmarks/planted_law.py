"""Coverage and bias of the law on planted families, at full size: 500 families, 2,000 bootstraps each.

    python -m benchmarks.planted_law [--bootstraps 2000]

From the repository's root. The families are those of tests/helpers/planted_law.py, and
tests/analysis/test_planted_law.py runs the same with 300.
"""

import argparse
import time

import numpy as np

from diffmem.analysis.laws.scaling import fit_power_law
from tests.helpers.planted_law import ALPHA, BETA, DRAWS, WIDTH, N, read_times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstraps", type=int, default=2000)
    args = parser.parse_args()
    print(f"{'censored':>9}{'covers a':>10}{'covers b':>10}{'bias a':>9}{'bias b':>9}{'naive a':>9}{'seconds':>9}")
    for censored in (0.0, 0.25, 0.5):
        tau, status = read_times(censored)
        start = time.perf_counter()
        fits = [
            fit_power_law(tau[i], n=N, width=WIDTH, status=list(status[i]), n_boot=args.bootstraps, seed=i)
            for i in range(DRAWS)
        ]
        seconds = time.perf_counter() - start
        reached = status == "reached"
        naive = [
            fit_power_law(tau[i][reached[i]], n=N[reached[i]], width=WIDTH[reached[i]], n_boot=0).alpha - ALPHA
            for i in range(DRAWS)
        ]
        cover = [
            np.mean([fit.alpha_low <= ALPHA <= fit.alpha_high for fit in fits]),
            np.mean([fit.beta_low <= BETA <= fit.beta_high for fit in fits]),
        ]
        bias = np.mean([[fit.alpha - ALPHA, fit.beta - BETA] for fit in fits], axis=0)
        print(
            f"{np.mean(~reached):>9.2f}{cover[0]:>10.3f}{cover[1]:>10.3f}{bias[0]:>9.3f}{bias[1]:>9.3f}"
            f"{np.mean(naive):>9.3f}{seconds:>9.1f}"
        )


if __name__ == "__main__":
    main()
