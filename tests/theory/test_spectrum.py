"""The spectrum: against other solvers and simulation, and by its own sums, over the whole range of ratios and times."""

import math
from typing import Any

import numpy as np
import pytest

from diffmem.errors import InputError
from diffmem.theory.covariance import of_data, power_law
from diffmem.theory.model import Model
from diffmem.theory.simulate import draw
from diffmem.theory.spectrum import atom, bands, bulk1_limit, cumulative, density, solve
from tests.helpers.theory_oracles import fixed_point, six_equations

TWO_LEVEL = ([0.5, 1.5], [0.5, 0.5])
MODELS = [
    Model(psi_p=8, psi_n=3, t=0.1),
    Model(psi_p=2, psi_n=9, t=0.02, activation="relu"),
    Model(psi_p=0.6, psi_n=0.4, t=0.5, activation="erf"),
    Model(psi_p=8, psi_n=3, t=0.1, cov=TWO_LEVEL),
    Model(psi_p=3, psi_n=20, t=0.01, activation="sin", cov=([0.0, 0.1, 4.0], [0.2, 0.6, 0.2])),
]
WHOLE_RANGE = [
    Model(psi_p, psi_n, t)
    for psi_p in (0.1, 1.0, 7.0, 1000.0)
    for psi_n in (0.1, 1.0, 40.0, 1000.0)
    for t in (1e-3, 0.1, 3.0)
]


def inside(model: Model, count: int) -> np.ndarray:
    """`count` points of every band, clear of its edges."""
    return np.concatenate([np.geomspace(band.low, band.high, count + 2)[1:-1] for band in bands(model).bands])


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_six_real_equations_agree(model: Model) -> None:
    for lam in inside(model, 2):
        q, r, s = six_equations(model, lam)
        solution = solve(model, [lam])
        assert q.imag > 0
        assert [solution.q[0], solution.r[0], solution.s[0]] == pytest.approx([q, r, s], rel=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_plain_iteration_agrees(model: Model) -> None:
    lam = inside(model, 1)[-1]
    z = lam * (1 + 0.3j)
    d, s = fixed_point(model, z)
    solution = solve(model, [z])
    assert solution.D[0] == pytest.approx(d, rel=1e-8)
    assert solution.s[0] * model.psi_p == pytest.approx(s, rel=1e-8)


def integrals(model: Model, nodes: int = 1500) -> tuple[float, float]:
    """Mass and first moment of the density, by quadrature over the bands in log λ."""
    mass, moment = 0.0, 0.0
    place = atom(model).location
    for band in bands(model).bands:
        low, high = math.log(max(band.low - place, 1e-16 * band.high)), math.log(band.high - place)
        phi = (np.arange(nodes) + 0.5) * np.pi / nodes
        zeta = np.exp((low + high) / 2 + (high - low) / 2 * np.cos(phi))
        weight = density(model, zeta + place) * zeta * np.sin(phi) * (high - low) / 2 * np.pi / nodes
        mass, moment = mass + float(weight.sum()), moment + float(weight @ (zeta + place))
    return mass, moment


@pytest.mark.slow
@pytest.mark.parametrize("model", [*MODELS, *WHOLE_RANGE[::3]])
def test_mass_and_first_moment(model: Model) -> None:
    mass, moment = integrals(model)
    at_once = atom(model)
    assert mass + at_once.mass == pytest.approx(1, abs=1e-5)
    assert moment + at_once.mass * at_once.location == pytest.approx(model.constants.norm2, rel=1e-5)  # Tr U/p


@pytest.mark.slow
@pytest.mark.parametrize("model", WHOLE_RANGE)
def test_converges_over_the_whole_range(model: Model) -> None:
    limit = bands(model)
    whole = solve(model, np.geomspace(limit.bands[0].low / 3, 3 * limit.bands[-1].high, 150))
    assert whole.converged.all()
    assert whole.residual.max() < 1e-9
    assert (whole.q.imag > -1e-9 * np.abs(whole.q)).all()
    assert limit.atom.mass + sum(band.mass for band in limit.bands) == pytest.approx(1, abs=1e-9)


def test_the_density_is_the_slope_of_the_count() -> None:
    model = MODELS[3]
    lam = inside(model, 40)
    step = 1e-6 * lam
    slope = (cumulative(model, lam + step) - cumulative(model, lam - step)) / (2 * step)
    assert slope == pytest.approx(density(model, lam), rel=1e-6)


def test_bands_of_the_study() -> None:
    limit = bands(Model(psi_p=32, psi_n=8, t=0.01))
    edges = [edge for band in limit.bands for edge in (band.low, band.high)]
    assert edges == pytest.approx([0.0026, 0.0056, 0.0292, 0.2173, 4.70, 23.20], rel=0.01)
    assert [band.parts for band in limit.bands] == [("low",), ("bulk1",), ("bulk2",)]
    masses = [1 - 9 / 32, 1 / 32, 7 / 32, 1 / 32]
    assert [limit.atom.mass, *(band.mass for band in limit.bands)] == pytest.approx(masses, abs=1e-9)
    assert limit.merged == ()


@pytest.mark.parametrize("model", MODELS)
def test_the_density_ends_at_the_edges(model: Model) -> None:
    for band in bands(model).bands:
        for edge, sign in ((band.low, 1), (band.high, -1)):
            near = edge + sign * 1e-7 * edge * np.array([1.0, 4.0])
            one, four = density(model, near)
            assert four / one == pytest.approx(2, rel=0.01)  # a square root
            assert density(model, [edge - sign * 1e-7 * edge])[0] < 1e-6 * four


def test_merged_bands_say_so() -> None:
    limit = bands(Model(psi_p=3, psi_n=2.5, t=0.1))
    assert limit.merged == (("low", "bulk1"),)
    assert limit.alone("bulk1") == ()
    assert len(limit.alone("bulk2")) == 1
    assert limit.bands[0].mass == pytest.approx(0.5 / 3 + 1.5 / 3, abs=1e-9)


def test_a_spread_covariance_splits_the_bulks() -> None:
    *_, small, large = bands(Model(psi_p=4, psi_n=200, t=0.01, cov=([0.01, 5.0], [0.75, 0.25]))).bands
    assert [small.mass, large.mass] == pytest.approx([0.75 / 4, 0.25 / 4], abs=1e-9)
    assert [small.parts, large.parts] == [("bulk2",), ("bulk2",)]


def test_equal_eigenvalues_may_be_split_in_any_way() -> None:
    lam = np.geomspace(0.02, 30, 30)
    many = density(Model(psi_p=8, psi_n=3, t=0.1, cov=(np.ones(1024), np.full(1024, 1 / 1024))), lam)
    assert many == pytest.approx(density(Model(psi_p=8, psi_n=3, t=0.1), lam), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("cov", [None, TWO_LEVEL])
def test_bulk_1_comes_to_its_closed_form_as_one_over_psi(cov: Any) -> None:
    psi = 2.0 ** np.arange(5, 10)
    gaps = []
    for psi_n in psi:
        model = Model(psi_p=4 * psi_n, psi_n=psi_n, t=0.01, cov=cov)
        (bulk,) = bands(model).alone("bulk1")
        low, high = bulk1_limit(model)
        gaps.append([abs(bulk.low / low - 1), abs(bulk.high / high - 1)])
    slopes = np.polyfit(np.log(psi), np.log(gaps), 1)[0]
    assert slopes == pytest.approx([-1, -1], abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        Model(psi_p=5, psi_n=2.5, t=0.01),
        Model(psi_p=2.5, psi_n=6, t=0.05, activation="relu", cov=TWO_LEVEL),
    ],
)
def test_simulated_spectrum(model: Model) -> None:
    limit = bands(model)
    eigenvalues = np.linalg.eigvalsh(draw(model, 400).u)
    p, start = len(eigenvalues), limit.atom.mass
    at_atom = round(start * p)
    assert np.ptp(eigenvalues[:at_atom]) < 1e-10 if at_atom else True
    for band in limit.bands:
        held = eigenvalues[round(start * p) : round((start + band.mass) * p)]
        assert band.low * 0.9 < held[0] < held[-1] < band.high * 1.1
        expected = (cumulative(model, held) - start) / band.mass
        rank = np.arange(len(held) + 1) / len(held)
        distance = max(np.abs(expected - rank[1:]).max(), np.abs(expected - rank[:-1]).max())
        assert distance < 0.02
        start += band.mass


def test_the_atom_is_flagged_not_answered() -> None:
    model = MODELS[0]
    place = atom(model).location
    solution = solve(model, [place, 0.05])
    assert list(solution.converged) == [False, True]
    assert np.isnan(solution.q[0])
    with pytest.raises(InputError, match="place of the atom"):
        density(model, [place])


@pytest.mark.parametrize("lam", [[math.nan], [1 - 1j], [[1.0]]])
def test_bad_lambda(lam: Any) -> None:
    with pytest.raises(InputError, match="lambda must be"):
        solve(MODELS[0], lam)


def test_covariance_of_data() -> None:
    x = np.random.default_rng(0).standard_normal((500, 6)) * np.arange(1, 7)
    sigma = of_data(x)
    assert sigma.eigenvalues == pytest.approx(np.linalg.eigvalsh(np.cov(x.T, bias=True)), rel=1e-10)
    assert sigma.sigma_x2 == pytest.approx(x.var(axis=0).mean(), rel=1e-10)
    assert power_law(1.3, 100).sigma_x2 == pytest.approx(1, rel=1e-12)
    with pytest.raises(InputError, match="no covariance"):
        of_data(x[:1])
