"""The map's bytes can be read back, and what a browser sends becomes a clean outline."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core import colouring, outlines, point_cloud
from core.colouring import NAMED
from core.outlines import CORNERS
from core.point_cloud import NOTHING, STEPS

COORDINATES = st.floats(-1e4, 1e4, width=32) | st.just(float("nan"))
SHAPES = st.integers(1, 60)


def columns(n):
    return arrays.arrays(np.float32, n, elements=COORDINATES)


def read(payload):
    return np.frombuffer(payload, "<u2").astype(np.int64)


@given(st.data(), SHAPES)
def test_a_place_comes_back_within_half_a_step(data, n):
    x, y = data.draw(columns(n)), data.draw(columns(n))
    packed = point_cloud.pack_points(x, y)
    steps = read(packed.payload).reshape(n, 2)
    placed = np.isfinite(x) & np.isfinite(y)
    assert packed.n == n
    assert packed.placed == placed.sum()
    assert (steps[~placed] == NOTHING).all()
    assert (steps[placed] <= STEPS).all()
    back = np.array(packed.to_map((steps[placed] / STEPS).tolist())).reshape(-1, 2)
    wanted = np.stack([x, y], axis=1)[placed]
    assert np.abs(back - wanted).max(initial=0) <= packed.span / STEPS / 2 * (1 + 1e-9) + 1e-9


@given(st.lists(st.tuples(st.floats(-2, 3), st.floats(-2, 3)), max_size=9))
def test_units_and_map_coordinates_undo_each_other(outline):
    packed = point_cloud.pack_points(np.array([3.0, -7, 12]), np.array([0.5, 100, 44]))
    back = packed.to_units(packed.to_map(outline))
    assert np.allclose(back, np.array(outline).reshape(-1, 2) if outline else [], atol=1e-9)


def test_the_shape_of_the_map_is_not_stretched():
    packed = point_cloud.pack_points(np.array([0.0, 10]), np.array([0.0, 1]))
    assert read(packed.payload).reshape(2, 2)[1].tolist() == [STEPS, round(STEPS / 10)]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_map_without_any_place_or_with_one_place_is_still_a_map(n):
    packed = point_cloud.pack_points(np.full(n, 2.0), np.full(n, np.nan))
    assert (packed.n, packed.placed, packed.span) == (n, 0, 1.0)
    alike = point_cloud.pack_points(np.full(n, 2.0), np.full(n, 5.0))
    assert read(alike.payload).tolist() == [0] * 2 * n


def test_the_first_view_leaves_out_only_a_few_far_samples():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (2, 5000))
    x[7] = 400.0
    packed = point_cloud.pack_points(x, y)
    left, bottom, right, top = packed.whole
    units = read(packed.payload).reshape(-1, 2) / STEPS
    inside = (units >= [left, bottom]).all(axis=1) & (units <= [right, top]).all(axis=1)
    assert 0.98 < inside.mean() < 1
    assert right - left < 0.05
    assert not inside[7]


@given(st.data(), SHAPES, st.sampled_from(["sequence", "diverging"]))
def test_a_number_comes_back_within_half_a_step_or_is_the_ends(data, n, kind):
    values = data.draw(columns(n)).astype(np.float64)
    packed = colouring.pack_numbers(values, kind)
    steps = read(packed.payload)
    known = np.isfinite(values)
    assert (steps[~known] == NOTHING).all()
    back = packed.low + (packed.high - packed.low) * steps[known] / STEPS
    wanted = np.clip(values[known], packed.low, packed.high)
    step = (packed.high - packed.low) / STEPS
    assert np.abs(back - wanted).max(initial=0) <= step / 2 * (1 + 1e-6) + 1e-9
    assert packed.clipped == bool((wanted != values[known]).any())
    if kind == "diverging":
        assert packed.low == -packed.high


def test_infinite_numbers_have_the_colours_of_the_ends():
    values = np.array([-np.inf, 0.0, 1.0, 2.0, np.inf, np.nan])
    steps = read(colouring.pack_numbers(values).payload)
    assert steps[[0, 4, 5]].tolist() == [0, STEPS, NOTHING]


def test_a_few_extreme_numbers_do_not_take_all_colours():
    values = np.r_[np.linspace(0, 1, 1000), 1e9]
    packed = colouring.pack_numbers(values)
    assert packed.high <= 1
    assert packed.clipped


@given(st.lists(st.integers(-1, 14), min_size=1, max_size=80))
def test_categories_come_back_by_name_the_frequent_ones_first(codes):
    codes, names = np.array(codes), [f"source {i}" for i in range(15)]
    packed = colouring.pack_categories(codes, names)
    steps = read(packed.payload)
    assert (steps[codes < 0] == NOTHING).all()
    shown = [packed.names[step] for step in steps[codes >= 0]]
    wanted = [names[code] for code in codes[codes >= 0]]
    many = len(set(wanted)) > NAMED
    assert len(packed.names) == (NAMED if many else len(set(wanted)))
    assert all(s == w or (many and s == "other") for s, w in zip(shown, wanted, strict=True))
    named = [wanted.count(name) for name in packed.names if name != "other"]
    assert named == sorted(named, reverse=True)
    left_out = {w for s, w in zip(shown, wanted, strict=True) if s == "other"}
    assert all(wanted.count(name) <= min(named) for name in left_out)


@given(st.lists(st.booleans(), max_size=50))
def test_bits_are_the_mask(mask):
    _, payload = point_cloud.pack_mask(np.array(mask, bool))
    assert len(payload) == -(-len(mask) // 8)
    assert [bool(payload[row >> 3] >> (row & 7) & 1) for row in range(len(mask))] == mask


def test_the_same_samples_have_the_same_key_and_others_another():
    mask = np.arange(20) % 3 == 0
    assert point_cloud.pack_mask(mask) == point_cloud.pack_mask(mask.copy())
    assert point_cloud.pack_mask(mask)[0] != point_cloud.pack_mask(~mask)[0]


def test_a_label_stands_at_the_median_of_its_cluster_and_large_ones_come_first():
    x = np.array([0.0, 1, 10, 4, 5, np.nan, 6])
    y = np.array([0.0, 2, 8, 4, 4, 4, 4])
    cluster = np.array([0, 0, 0, 1, 1, 1, 2])
    packed = point_cloud.pack_points(x, y)
    found = point_cloud.labels(packed, x, y, cluster, ["three", "two", "", "nobody"])
    assert [(label.text, label.n) for label in found] == [("three", 3), ("two", 2)]
    assert packed.to_map([(found[0].x, found[0].y)])[0] == pytest.approx((1, 2))
    assert packed.to_map([(found[1].x, found[1].y)])[0] == pytest.approx((4.5, 4))


def test_a_pool_that_has_grown_is_filled_up():
    assert point_cloud.fitted(np.array([1.0, 2]), 2, np.nan).tolist() == [1, 2]
    assert point_cloud.fitted(np.array([True]), 3, False).tolist() == [True, False, False]
    assert point_cloud.fitted(np.array([1, 2, 3]), 2, -1).tolist() == [1, 2]


def away_from(point, line):
    """The slow way: the least distance of a point from the edges of a closed line."""
    best = np.inf
    for a, b in zip(line, np.roll(line, -1, axis=0), strict=True):
        length = ((b - a) ** 2).sum()
        share = 0 if length == 0 else np.clip(((point - a) * (b - a)).sum() / length, 0, 1)
        best = min(best, float(np.hypot(*(point - a - share * (b - a)))))
    return best


@settings(deadline=None)
@given(st.integers(3, 300), st.integers(0, 10_000))
def test_a_simplified_outline_has_few_corners_and_stays_near_all_of_the_drawn_ones(n, seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = 1 + 0.3 * np.sin(3 * angle) + rng.normal(0, 0.02, n)
    line = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    kept, error = outlines.simplify(line)
    assert 3 <= len(kept) <= CORNERS
    at = [int(np.flatnonzero((line == corner).all(axis=1))[0]) for corner in kept]
    assert at == sorted(at)  # drawn corners, in their order
    assert max(away_from(corner, kept) for corner in line) <= error + 1e-12
    assert len(kept) == CORNERS or error <= 1e-3 * np.ptp(line, axis=0).max()


def test_an_outline_becomes_map_coordinates():
    packed = point_cloud.pack_points(np.array([10.0, 30]), np.array([0.0, 5]))
    box = [[0, 0], [0.5, 0], [0.5, 0.25], [0, 0.25]]
    found = outlines.drawn_outline(box, packed)
    assert sorted(found) == [(10, 0), (10, 5), (20, 0), (20, 5)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "polygon",
        [],
        [[0, 0], [1, 1]],
        [[0, 0], [1, 1], [2, 2], [0.5, 0.5]],
        [[0, 0], [1, float("nan")], [1, 1]],
        [[0, 0, 0], [1, 1, 1], [2, 0, 1]],
        [[0, 0], ["x", 1], [1, 1]],
        [[0, 0], [1], [1, 1]],
        {"outline": 1},
    ],
)
def test_what_is_no_outline_makes_no_rule(value):
    packed = point_cloud.pack_points(np.array([0.0, 1]), np.array([0.0, 1]))
    assert outlines.drawn_outline(value, packed) is None


def test_a_huge_outline_is_cut_and_bounded():
    packed = point_cloud.pack_points(np.array([0.0, 1]), np.array([0.0, 1]))
    turn = np.linspace(0, 2 * np.pi, 3000)
    drawn = (1e12 * np.stack([np.cos(turn), np.sin(turn)], axis=1)).tolist()
    found = outlines.drawn_outline(drawn * 40, packed)
    assert 3 <= len(found) <= CORNERS
    assert (np.min(found), np.max(found)) == (-1, 2)


def test_a_range_of_colours_and_a_range_of_numbers_undo_each_other():
    packed = colouring.pack_numbers(np.linspace(-3, 5, 2000))
    low, high = packed.numbers([0.25, 0.5])
    assert packed.low < low < high < packed.high
    assert packed.shares((low, high)) == pytest.approx((0.25, 0.5))
    assert packed.numbers([0, 1]) == (None, None)  # at the ends it is open
    assert packed.shares((None, None)) == (0, 1)
    assert packed.shares((-1e9, 1e9)) == (0, 1)


@pytest.mark.parametrize("said", [None, 3, "ab", [1], ["x", 1], [0.1, 0.2, 0.3], {"low": 1}])
def test_what_is_no_range_bounds_nothing(said):
    assert colouring.pack_numbers(np.arange(9.0)).numbers(said) == (None, None)


def test_a_column_of_one_number_has_a_colour_and_no_handles():
    packed = colouring.pack_numbers(np.full(5, 2.0))
    assert packed.shares((2.0, None)) == (0, 1)
    assert not packed.can_be_bounded
    assert colouring.pack_numbers(np.arange(5.0)).can_be_bounded
    assert read(packed.payload).tolist() == [0] * 5
