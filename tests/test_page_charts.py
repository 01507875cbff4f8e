"""Charts of curves, answers and entropies: few marks however large the pool, and rows to open."""

import numpy as np
import pytest

from core.curve_shapes import EARLY, ribbons
from core.curves import RocBand, roc_points
from core.reliability import reliability
from pages.ui.charts import LIGHT, clusters, complexity, distributions, entropy, knowing
from pages.ui.charts import trajectories as curves

MOST = 5000  # marks of one chart
N = 60_000


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    value, other = rng.gamma(2, 1, (2, N))
    value[::50] = np.nan
    return value, other, rng.random(N) < 0.3


def marks(figure):
    return sum(np.size(t.z) if t.type == "heatmap" else len(t.x) for t in figure.data)


def rows_of(figure):
    """First entry of each mark's customdata."""
    found = [np.asarray(t.customdata) for t in figure.data if t.customdata is not None]
    return [c.reshape(-1, c.shape[-1])[:, 0] if c.ndim > 1 else c for c in found]


def test_a_plane_of_many_samples_has_few_marks_that_open_their_own_row(pool):
    base, calibrated, kept = pool
    figure = entropy.entropy_density(base, calibrated, kept, ([1.0], []), LIGHT)
    assert marks(figure) <= MOST
    for name, mask in (("kept", kept), ("dropped", ~kept)):
        dots = next(t for t in figure.data if t.name == name)
        assert mask[dots.customdata].all()
        np.testing.assert_array_equal(dots.x, base[dots.customdata])
    shades = next(t for t in figure.data if t.type == "heatmap")
    assert int(np.asarray(shades.customdata)[..., 1].sum()) == np.isfinite(base).sum()
    assert (rows_of(figure)[0] == -1).all()  # a shade opens nothing


def test_a_bar_of_a_histogram_opens_a_sample_that_stands_in_it(pool):
    value, _, kept = pool
    figure = distributions.histogram(value, kept, [1.0, 2.0], "x", LIGHT)
    bars = figure.data[0]
    half = np.asarray(bars.width) / 2
    there = np.asarray(bars.customdata) >= 0
    distance = np.abs(value[np.asarray(bars.customdata)[there]] - np.asarray(bars.x)[there])
    assert (distance <= half[there] * 1.000001).all()
    assert [line.x0 for line in figure.layout.shapes] == [1.0, 2.0]


def test_right_answers_stand_above_and_wrong_ones_below(pool):
    value, other, kept = pool
    right = np.where(np.isfinite(value), (other > 2) * 1.0, np.nan)
    args = (value, right, kept, [1.0, 3.0], ["easy", "middle", "hard"], [2.0], LIGHT)
    figure = complexity.by_correctness(*args)
    assert marks(figure) <= MOST
    totals = [int(np.sum(t.y)) for t in figure.data]
    up, down = int((right == 1).sum()), int((right == 0).sum())
    kept_up, kept_down = int((kept & (right == 1)).sum()), int((kept & (right == 0)).sum())
    assert totals == [up, kept_up, -down, -kept_down]
    names = {a.text for a in figure.layout.annotations}
    assert names == {"easy", "middle", "hard"}
    assert complexity.by_correctness(value, np.full(N, np.nan), *args[2:]) is None


def test_a_roc_curve_of_many_thresholds_has_few_points(pool):
    value, other, _ = pool
    band = RocBand(np.linspace(0, 1, 101), np.zeros(101), np.ones(101), (0.4, 0.6))
    figure = knowing.roc(*roc_points(other, value > 1), band, LIGHT)
    assert marks(figure) <= MOST
    line = next(t for t in figure.data if t.name == "entropy")
    assert (line.x[0], line.y[0], line.x[-1], line.y[-1]) == (0, 0, 1, 1)
    assert line.customdata[0] == -1  # above every entropy
    nothing = RocBand(band.wrong_rate, band.low * np.nan, band.high, (np.nan, np.nan))
    assert knowing.roc(*roc_points(other, value > 1), nothing, LIGHT) is None


def test_reliability_has_a_point_a_bin_that_opens_a_sample(pool):
    _, other, kept = pool
    found = reliability(np.minimum(other / 8, 1), kept)
    rows = list(range(len(found.n)))
    figure = knowing.reliability(found, rows, LIGHT)
    assert rows_of(figure)[0].tolist() == rows
    assert knowing.reliability(reliability(np.array([]), np.array([], bool)), [], LIGHT) is None


def test_many_clusters_are_bars_of_the_largest(pool):
    trajectory = np.random.default_rng(1).random((3000, 4))
    found = ribbons(trajectory, np.sort(np.random.default_rng(2).integers(0, 400, 3000)))
    size = found.size * 1.0
    names = [EARLY] * len(found)
    figure = clusters.filling(found.group, size, size / 2, 3.0, names, "samples", LIGHT)
    assert marks(figure) == 2 * clusters.BARS
    panels = [curves.Panel(k, EARLY, str(k), "") for k in range(7)]
    panes = curves.small_multiples(found, panels, np.ones(4), LIGHT)
    assert {int(c) for row in rows_of(panes) for c in row} == set(found.group[:7].tolist())
    spans = {
        round(axis.range[1] - axis.range[0], 9)
        for axis in panes.select_yaxes()
        if axis.range is not None
    }
    assert len(spans) == 1  # slopes can be compared
    assert curves.small_multiples(found, [], np.ones(4), LIGHT) is None


def test_a_sample_without_a_loss_has_no_curve():
    found = ribbons(np.ones((3, 2)), np.zeros(3, np.int64))
    assert clusters.one_curve(np.array([1.0, np.nan]), found, 0, EARLY, LIGHT) is None
    figure = clusters.one_curve(np.array([1.0, 0.5]), found, 0, EARLY, LIGHT)
    assert "this sample" in {t.name for t in figure.data}
