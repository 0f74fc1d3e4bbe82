"""Families whose law is planted, read as runs are: τ_mem = C n^a W^b with scatter, f_mem binomial, three seeds."""

import numpy as np

from diffmem.analysis.times.curves import Curve
from diffmem.analysis.times.family import tau_mem
from tests.helpers.families import planted_share

ALPHA, BETA, SCATTER = 1.0, -1.0, 0.25
SAMPLES, DRAWS = 400, 500
N, WIDTH = (np.repeat(part.ravel(), 3) for part in np.meshgrid([16, 32, 64, 128, 256], [8, 32]))
GRID = np.array(sorted({round(20 * 10 ** (j / 12)) for j in range(49)}))


def read_times(censored: float) -> tuple[np.ndarray, np.ndarray]:
    """τ_mem as read [DRAWS, runs], and the status of each; a share `censored` of all lies past the end."""
    rng = np.random.default_rng(11)
    log_tau = np.log(400) + ALPHA * np.log(N) + BETA * np.log(WIDTH)
    log_tau = log_tau + SCATTER * rng.standard_normal((DRAWS, len(N)))
    end = np.exp(np.quantile(log_tau, 1 - censored)) if censored else GRID[-1]
    step = GRID[: np.searchsorted(GRID, end) + 1]
    share = planted_share(step, np.exp(log_tau.reshape(-1, 1)))
    count = rng.binomial(SAMPLES, share).astype(float)
    total = np.full(len(step), float(SAMPLES))
    times = [tau_mem(Curve(run="run", step=step, count=one, total=total, null=0.0)) for one in count]
    tau = [time.value if time.status == "reached" else time.bound for time in times]
    return np.reshape(tau, log_tau.shape), np.reshape([time.status for time in times], log_tau.shape)
