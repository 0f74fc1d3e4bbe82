"""The spectrum: against other solvers and simulation, and by its own sums, over the whole range of ratios and times."""

import math
from typing import Any

import numpy as np
import pytest

from diffmem.errors import InputError
from diffmem.theory.constants import constants
from diffmem.theory.covariance import covariance, of_data, power_law
from diffmem.theory.simulate import draw
from diffmem.theory.spectrum import atom, bands, bulk1_limit, cumulative, density, solve
from tests.helpers.theory_oracles import fixed_point, six_equations

TWO_LEVEL = ([0.5, 1.5], [0.5, 0.5])
CASES: list[dict[str, Any]] = [
    {"psi_p": 8.0, "psi_n": 3.0, "t": 0.1},
    {"psi_p": 2.0, "psi_n": 9.0, "t": 0.02, "activation": "relu"},
    {"psi_p": 0.6, "psi_n": 0.4, "t": 0.5, "activation": "erf"},
    {"psi_p": 8.0, "psi_n": 3.0, "t": 0.1, "cov": TWO_LEVEL},
    {"psi_p": 3.0, "psi_n": 20.0, "t": 0.01, "activation": "sin", "cov": ([0.0, 0.1, 4.0], [0.2, 0.6, 0.2])},
]
WHOLE_RANGE: list[dict[str, Any]] = [
    {"psi_p": psi_p, "psi_n": psi_n, "t": t}
    for psi_p in (0.1, 1.0, 7.0, 1000.0)
    for psi_n in (0.1, 1.0, 40.0, 1000.0)
    for t in (1e-3, 0.1, 3.0)
]


def parts(case: dict[str, Any]) -> dict[str, Any]:
    """What the oracles need of a case."""
    sigma = covariance(case.get("cov"))
    c = constants(case["t"], activation=case.get("activation", "tanh"), sigma_x2=sigma.sigma_x2)
    ratios = {name: case[name] for name in ("psi_p", "psi_n")}
    return {**ratios, "c": c, "mu": sigma.eigenvalues, "weight": sigma.weights}


def inside(case: dict[str, Any], count: int) -> np.ndarray:
    """`count` points of every band, clear of its edges."""
    found = bands(**case).bands
    return np.concatenate([np.geomspace(band.low, band.high, count + 2)[1:-1] for band in found])


@pytest.mark.parametrize("case", CASES)
def test_six_real_equations_agree(case: dict[str, Any]) -> None:
    for lam in inside(case, 2):
        q, r, s = six_equations(lam, **parts(case))
        found = solve([lam], **case)
        assert q.imag > 0
        assert [found.q[0], found.r[0], found.s[0]] == pytest.approx([q, r, s], rel=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_plain_iteration_agrees(case: dict[str, Any]) -> None:
    lam = inside(case, 1)[-1]
    z = lam * (1 + 0.3j)
    d, s = fixed_point(z, **parts(case))
    found = solve([z], **case)
    assert found.D[0] == pytest.approx(d, rel=1e-8)
    assert found.s[0] * case["psi_p"] == pytest.approx(s, rel=1e-8)


def integrals(case: dict[str, Any], nodes: int = 1500) -> tuple[float, float]:
    """Mass and first moment of the density, by quadrature over the bands in log λ."""
    mass, moment = 0.0, 0.0
    place = atom(**case).location
    for band in bands(**case).bands:
        low, high = math.log(max(band.low - place, 1e-16 * band.high)), math.log(band.high - place)
        phi = (np.arange(nodes) + 0.5) * np.pi / nodes
        zeta = np.exp((low + high) / 2 + (high - low) / 2 * np.cos(phi))
        weight = density(zeta + place, **case) * zeta * np.sin(phi) * (high - low) / 2 * np.pi / nodes
        mass, moment = mass + float(weight.sum()), moment + float(weight @ (zeta + place))
    return mass, moment


@pytest.mark.parametrize("case", [*CASES, *WHOLE_RANGE[::3]])
def test_mass_and_first_moment(case: dict[str, Any]) -> None:
    mass, moment = integrals(case)
    whole, c = atom(**case), parts(case)["c"]
    assert mass + whole.mass == pytest.approx(1, abs=1e-5)
    assert moment + whole.mass * whole.location == pytest.approx(c.norm2, rel=1e-5)  # Tr U/p


@pytest.mark.parametrize("case", WHOLE_RANGE)
def test_converges_over_the_whole_range(case: dict[str, Any]) -> None:
    found = bands(**case)
    whole = solve(np.geomspace(found.bands[0].low / 3, 3 * found.bands[-1].high, 150), **case)
    assert whole.converged.all()
    assert whole.residual.max() < 1e-9
    assert (whole.q.imag > -1e-9 * np.abs(whole.q)).all()
    assert found.atom.mass + sum(band.mass for band in found.bands) == pytest.approx(1, abs=1e-9)


def test_the_density_is_the_slope_of_the_count() -> None:
    case = CASES[3]
    lam = inside(case, 40)
    step = 1e-6 * lam
    slope = (cumulative(lam + step, **case) - cumulative(lam - step, **case)) / (2 * step)
    assert slope == pytest.approx(density(lam, **case), rel=1e-6)


def test_bands_of_the_study() -> None:
    found = bands(psi_p=32, psi_n=8, t=0.01)
    edges = [edge for band in found.bands for edge in (band.low, band.high)]
    assert edges == pytest.approx([0.0026, 0.0056, 0.0292, 0.2173, 4.70, 23.20], rel=0.01)
    assert [band.parts for band in found.bands] == [("low",), ("bulk1",), ("bulk2",)]
    masses = [1 - 9 / 32, 1 / 32, 7 / 32, 1 / 32]
    assert [found.atom.mass, *(band.mass for band in found.bands)] == pytest.approx(masses, abs=1e-9)
    assert found.merged == ()


@pytest.mark.parametrize("case", CASES)
def test_the_density_ends_at_the_edges(case: dict[str, Any]) -> None:
    for band in bands(**case).bands:
        for edge, sign in ((band.low, 1), (band.high, -1)):
            near = edge + sign * 1e-7 * edge * np.array([1.0, 4.0])
            one, four = density(near, **case)
            assert four / one == pytest.approx(2, rel=0.01)  # a square root
            assert density([edge - sign * 1e-7 * edge], **case)[0] < 1e-6 * four


def test_merged_bands_say_so() -> None:
    found = bands(psi_p=3, psi_n=2.5, t=0.1)
    assert found.merged == (("low", "bulk1"),)
    assert found.alone("bulk1") == ()
    assert len(found.alone("bulk2")) == 1
    assert found.bands[0].mass == pytest.approx(0.5 / 3 + 1.5 / 3, abs=1e-9)


def test_a_spread_covariance_splits_the_bulks() -> None:
    found = bands(psi_p=4, psi_n=200, t=0.01, cov=([0.01, 5.0], [0.75, 0.25]))
    assert [band.mass for band in found.bands[-2:]] == pytest.approx([0.75 / 4, 0.25 / 4], abs=1e-9)
    assert [band.parts for band in found.bands[-2:]] == [("bulk2",), ("bulk2",)]


def test_equal_eigenvalues_may_be_split_in_any_way() -> None:
    lam = np.geomspace(0.02, 30, 30)
    many = density(lam, psi_p=8, psi_n=3, t=0.1, cov=(np.ones(1024), np.full(1024, 1 / 1024)))
    assert many == pytest.approx(density(lam, psi_p=8, psi_n=3, t=0.1), rel=1e-9, abs=1e-15)


def test_bulk_1_comes_to_its_closed_form_as_one_over_psi() -> None:
    psi = 2.0 ** np.arange(5, 10)
    gaps = []
    for psi_n in psi:
        case = {"psi_p": 4 * psi_n, "psi_n": psi_n, "t": 0.01}
        (bulk,) = bands(**case).alone("bulk1")
        low, high = bulk1_limit(**case)
        gaps.append([abs(bulk.low / low - 1), abs(bulk.high / high - 1)])
    slopes = np.polyfit(np.log(psi), np.log(gaps), 1)[0]
    assert slopes == pytest.approx([-1, -1], abs=0.05)


@pytest.mark.parametrize(
    "case",
    [
        {"psi_p": 5.0, "psi_n": 2.5, "t": 0.01},
        {"psi_p": 2.5, "psi_n": 6.0, "t": 0.05, "activation": "relu", "cov": TWO_LEVEL},
    ],
)
def test_simulated_spectrum(case: dict[str, Any]) -> None:
    d, found = 400, bands(**case)
    eigenvalues = np.linalg.eigvalsh(draw(d, **case).u)
    p, start = len(eigenvalues), found.atom.mass
    at_atom = round(start * p)
    assert np.ptp(eigenvalues[:at_atom]) < 1e-10 if at_atom else True
    for band in found.bands:
        held = eigenvalues[round(start * p) : round((start + band.mass) * p)]
        assert band.low * 0.9 < held[0] < held[-1] < band.high * 1.1
        expected = (cumulative(held, **case) - start) / band.mass
        rank = np.arange(len(held) + 1) / len(held)
        distance = max(np.abs(expected - rank[1:]).max(), np.abs(expected - rank[:-1]).max())
        assert distance < 0.02
        start += band.mass


def test_the_atom_is_flagged_not_answered() -> None:
    case = CASES[0]
    place = atom(**case).location
    found = solve([place, 0.05], **case)
    assert list(found.converged) == [False, True]
    assert np.isnan(found.q[0])
    with pytest.raises(InputError, match="place of the atom"):
        density([place], **case)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"psi_p": 0}, "psi_p=0 is no ratio"),
        ({"psi_n": -1}, "psi_n=-1 is no ratio"),
        ({"psi_n": math.nan}, "psi_n=nan"),
        ({"t": 0}, "t=0"),
        ({"cov": ([1.0, -0.1], [0.5, 0.5])}, "eigenvalue -0.1"),
        ({"cov": ([1.0, 2.0], [0.5, 0.4])}, "sum to 0.9"),
        ({"cov": ([1.0, 2.0], [1.5, -0.5])}, "the least is -0.5"),
        ({"cov": ([1.0, 2.0], [1.0])}, "of shape"),
        ({"cov": ([0.0], [1.0])}, "is zero"),
        ({"cov": ([math.inf], [1.0])}, "NaN or infinite"),
    ],
)
def test_bad_input(change: dict[str, Any], words: str) -> None:
    case = {"psi_p": 8.0, "psi_n": 3.0, "t": 0.1} | change
    with pytest.raises(InputError, match=words):
        bands(**case)
    with pytest.raises(InputError, match=words):
        density([1.0], **case)


@pytest.mark.parametrize("lam", [[math.nan], [1 - 1j], [[1.0]]])
def test_bad_lambda(lam: Any) -> None:
    with pytest.raises(InputError, match="lambda must be"):
        solve(lam, psi_p=8, psi_n=3, t=0.1)


def test_covariance_of_data() -> None:
    x = np.random.default_rng(0).standard_normal((500, 6)) * np.arange(1, 7)
    found = of_data(x)
    assert found.eigenvalues == pytest.approx(np.linalg.eigvalsh(np.cov(x.T, bias=True)), rel=1e-10)
    assert found.sigma_x2 == pytest.approx(x.var(axis=0).mean(), rel=1e-10)
    assert power_law(1.3, 100).sigma_x2 == pytest.approx(1, rel=1e-12)
    with pytest.raises(InputError, match="no covariance"):
        of_data(x[:1])
