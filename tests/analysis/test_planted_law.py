"""From curves to the law, on families whose law is planted: f_mem binomial around a logistic in log step,
τ_mem = C n^a W^b with scatter, three seeds, and runs that end before they memorize."""

import numpy as np
import pytest

from diffmem.analysis.laws.scaling import fit_power_law
from diffmem.analysis.times.curves import Curve
from diffmem.analysis.times.family import tau_mem

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
    share = 1 / (1 + 19 * np.exp(-3 * (np.log(step) - log_tau.reshape(-1, 1))))  # 1/20 at tau
    count = rng.binomial(SAMPLES, share).astype(float)
    total = np.full(len(step), float(SAMPLES))
    found = [tau_mem(Curve(run="run", step=step, count=one, total=total, null=0.0)) for one in count]
    tau = [time.value if time.status == "reached" else time.bound for time in found]
    return np.reshape(tau, log_tau.shape), np.reshape([time.status for time in found], log_tau.shape)


@pytest.mark.parametrize("censored", [0.0, 0.25, 0.5])
def test_intervals_of_both_exponents_cover_and_the_naive_fit_is_biased(censored: float) -> None:
    tau, status = read_times(censored)
    assert np.mean(status != "reached") == pytest.approx(censored, abs=0.05)
    hits, kept, naive = [], [], []
    for draw in range(DRAWS):
        words, reached = list(status[draw]), status[draw] == "reached"
        law = fit_power_law(tau[draw], n=N, width=WIDTH, status=words, n_boot=300, seed=draw)
        hits.append([law.alpha_low <= ALPHA <= law.alpha_high, law.beta_low <= BETA <= law.beta_high])
        kept.append([law.alpha, law.beta])
        naive.append(fit_power_law(tau[draw][reached], n=N[reached], width=WIDTH[reached], n_boot=0).alpha)
    cover = np.mean(hits, axis=0)
    assert ((cover >= 0.92) & (cover <= 0.98)).all(), cover
    assert np.abs(np.mean(kept, axis=0) - [ALPHA, BETA]).max() < 0.02
    if censored:
        error = np.std(naive) / np.sqrt(DRAWS)
        assert np.mean(naive) < ALPHA - max(0.02, 4 * error)  # long times drop out: the law looks flatter
