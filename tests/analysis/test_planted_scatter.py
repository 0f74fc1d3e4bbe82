"""What claims 95% covers, or is refused, on families whose runs err together; fewer than the benchmark draws."""

import re

import numpy as np
import pytest

from diffmem.analysis.laws.family import laws
from diffmem.analysis.laws.sentence import sentence
from tests.helpers.planted_scatter import CASES, Case, Planted, measure

FAMILIES = 40
BY_NAME = {case.name: case for case in CASES}
LAWS = [case for case in CASES if len(case.n) > 2]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("case", LAWS, ids=lambda case: case.name)
def test_intervals_and_advice_keep_their_promise(case: Case) -> None:
    seen = list(measure(case, FAMILIES, FAMILIES // 2))
    for name, promised in (("alpha", 0.95), ("beta", 0.95), ("collapse", 0.95)):
        hits = [row[name] for row in seen if name in row]
        if hits:
            assert np.mean(hits) > promised - 4 * np.sqrt(promised * (1 - promised) / len(hits)), name
    early = [row[name] for row in seen for name in row if name.startswith("early")]
    assert np.mean(early) < 0.025 + 4 * np.sqrt(0.025 * 0.975 / FAMILIES)


def test_two_n_are_refused_with_what_to_add() -> None:
    planted = Planted(BY_NAME["2 n x 4 runs, shared"], np.random.default_rng(0))
    assert laws(planted.times)["tau_mem"]["refused"].endswith("add two more n, such as 64 and 256")


def test_a_curved_family_claims_no_one_exponent() -> None:
    planted = Planted(BY_NAME["curved, one per n"], np.random.default_rng(0))
    said = sentence(laws(planted.times), planted.times.assign(tau_gen_status="right", tau_gen_last_step=100.0))
    assert re.match(r"from n = 16 to 256 tau_mem is no power law of n \(p = 0\.0[0-4]\d*\), but grows like n\^", said)
    assert "at n = 16 and like n^" in said
