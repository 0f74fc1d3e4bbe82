"""From curves to the law, on families whose law is planted, in runs that may end before they memorize."""

import numpy as np
import pytest

from diffmem.analysis.laws.scaling import fit_power_law
from tests.helpers.planted_law import ALPHA, BETA, DRAWS, WIDTH, N, read_times


@pytest.mark.slow
@pytest.mark.long
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
