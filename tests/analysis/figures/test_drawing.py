"""Axes that can be read: a logarithmic one has labels, however little of it is shown."""

import pytest
from matplotlib.figure import Figure

from diffmem.analysis.figures.drawing import log_ticks


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1, 2e4, ["1", "10", "100", "1,000", "10,000"]),
        (0.2, 6, ["0.2", "0.5", "1", "2", "5"]),
        (0.6, 1.6, ["0.6", "0.8", "1", "1.5"]),
        (0, 1, []),
    ],
)
def test_a_logarithmic_axis_has_labels(low: float, high: float, labels: list[str]) -> None:
    axis = Figure().subplots().xaxis
    log_ticks(axis, low, high)
    assert [axis.get_major_formatter()(tick, 0) for tick in axis.get_majorticklocs()] == labels
