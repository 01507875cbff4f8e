"""Neighbours and near-duplicates: each fast kernel beside the slow obvious version."""

from itertools import combinations

import numpy as np
import pytest

from core import cosines, minhash, neighbours
from core.errors import MethodError
from core.neighbours import Links, by_cosine, links, nearest

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def cloud(n: int, width: int = 12, seed: int = 0) -> np.ndarray:
    """Random rows of random lengths, a few of them copies or near copies of others."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, width)) * rng.uniform(0.1, 9, (n, 1))
    for copy in range(3, n, 7):
        rows[copy] = rows[copy // 2] * 2 + (copy % 2) * 0.1 * rng.normal(size=width)
    return rows.astype(np.float32)


def cosine_matrix(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def connected(n: int, near: list[tuple[int, int]]) -> list[int]:
    """Each row's first relative by flooding, -1 when it has none: the obvious way."""
    first = []
    for row in range(n):
        seen, queue = {row}, [row]
        while queue:
            at = queue.pop()
            others = {b for a, b in near if a == at} | {a for a, b in near if b == at}
            queue += others - seen
            seen |= others
        first.append(min(seen) if len(seen) > 1 else -1)
    return first


def words(n: int, seed: int = 0) -> list[str]:
    """Random texts; every third is an earlier one with a few letters changed."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    for k in range(n):
        text = "".join(rng.choice(list(LETTERS + "  "), 80))
        if k % 3 == 2:
            letters = list(texts[k - 2])
            for place in rng.integers(0, len(letters), k % 7):
                letters[place] = rng.choice(list(LETTERS))
            text = "".join(letters)
        texts.append(text)
    return texts


def obvious_jaccard(left: str, right: str) -> float:
    sets = []
    for text in (left, right):
        plain = " ".join(text.lower().split())
        size = max(1, len(plain) - minhash.CHARS + 1) if plain else 0
        sets.append({plain[i : i + minhash.CHARS] for i in range(size)})
    union = sets[0] | sets[1]
    return len(sets[0] & sets[1]) / len(union) if union else 0.0


def test_neighbours_are_those_of_a_full_sort() -> None:
    rows = cloud(90)
    positions, cosines = nearest(rows, 10)
    full = cosine_matrix(rows)
    np.fill_diagonal(full, -np.inf)
    expected = np.sort(full, axis=1)[:, ::-1][:, :10]
    assert (positions.dtype, cosines.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(full, positions, 1), expected, atol=1e-6)
    assert all(len(set(row)) == 10 for row in positions.tolist())


def test_among_equal_rows_the_lower_position_comes_first() -> None:
    rows = np.repeat(cloud(3, seed=1), 6, axis=0)
    positions, cosines = nearest(rows, 5)
    for row in range(len(rows)):
        own = row // 6 * 6
        assert positions[row].tolist() == [i for i in range(own, own + 6) if i != row]
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cloud(70)
    whole, found = nearest(rows, 8), links(rows, 0.3)
    for cells, pairs in ((1, 1), (210, 40), (1000, 10**6)):
        monkeypatch.setattr(cosines, "CELLS", cells)
        monkeypatch.setattr(neighbours, "PAIRS", pairs)
        for a, b in zip(nearest(rows, 8), whole, strict=True):
            np.testing.assert_array_equal(a, b)
        again = links(rows, 0.3)
        for column in ("a", "b", "similarity"):
            np.testing.assert_array_equal(getattr(again, column), getattr(found, column))


def test_neighbours_among_other_rows_leave_none_out() -> None:
    rows, base = cloud(20), cloud(40, seed=3)
    rows[5] = base[11]
    positions, cosines = nearest(rows, 3, among=base)
    assert (positions[5, 0], round(float(cosines[5, 0]), 5)) == (11, 1)
    unit = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in (rows, base)]
    full = unit[0] @ unit[1].T
    np.testing.assert_allclose(cosines, np.sort(full, 1)[:, ::-1][:, :3], atol=1e-5)


def test_where_there_are_fewer_neighbours_the_rest_is_marked() -> None:
    positions, cosines = nearest(cloud(3), 5)
    assert (positions[:, 2:] == -1).all()
    assert np.isnan(cosines[:, 2:]).all()
    assert [sorted(row) for row in positions[:, :2].tolist()] == [[1, 2], [0, 2], [0, 1]]
    for n in (0, 1):
        positions, cosines = nearest(cloud(n), 5)
        assert (positions.shape, cosines.shape) == ((n, 5), (n, 5))
        assert (positions == -1).all()


def test_groups_are_connected_components_at_every_threshold_above_the_floor() -> None:
    rows = cloud(60, width=5)
    full = cosine_matrix(rows)
    found = links(rows, 0.6)
    assert len(found.a) < 60
    sizes = set()
    for threshold in (0.6, 0.7, 0.9, 0.99, 0.9999):
        near = [(a, b) for a, b in combinations(range(60), 2) if full[a, b] >= threshold]
        groups = found.groups(60, threshold)
        assert groups.tolist() == connected(60, near)
        assert by_cosine(rows, threshold).tolist() == groups.tolist()
        sizes.add(len(near))
    assert len(sizes) == 5  # each threshold cut something


def test_a_chain_is_one_group() -> None:
    angles = np.deg2rad([0, 20, 40, 60, 170])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert by_cosine(rows, 0.93).tolist() == [0, 0, 0, 0, -1]
    assert by_cosine(rows, 0.95).tolist() == [-1] * 5


def test_a_threshold_below_the_floor_is_refused() -> None:
    found = links(cloud(10), 0.8)
    for threshold in (0.79, 1.01, float("nan")):
        with pytest.raises(MethodError, match=r"^threshold: is out of bounds\. Got "):
            found.groups(10, threshold)


def test_empty_pools_have_no_groups() -> None:
    assert by_cosine(np.zeros((0, 4)), 0.9).shape == (0,)
    assert minhash.by_minhash([], 0.7).shape == (0,)
    assert minhash.by_minhash(["", "", "x", " X "], 0.7).tolist() == [-1, -1, 2, 2]


def test_jaccard_is_that_of_sets_of_character_runs() -> None:
    texts = [
        *words(12),
        "",
        "ab",
        "AB",
        "same  text here",
        "Same text\nhere",
        "你好，世界和平",
        "你好，世界",
    ]
    for left, right in combinations(texts, 2):
        found = minhash.jaccard(minhash.shingles(left), minhash.shingles(right))
        assert found == pytest.approx(obvious_jaccard(left, right))


def test_minhash_finds_the_pairs_of_a_full_comparison() -> None:
    texts = words(120)
    index = {(a, b): obvious_jaccard(texts[a], texts[b]) for a, b in combinations(range(120), 2)}
    found = minhash.links(texts, 0.5)
    for threshold in (0.5, 0.6, 0.75, 1.0):
        near = [pair for pair, s in index.items() if s >= threshold]
        assert len(near) > 5
        assert found.groups(120, threshold).tolist() == connected(120, near)


def test_signatures_estimate_the_jaccard_index() -> None:
    texts = words(60)
    signature = minhash.signatures(texts)
    errors = [
        (signature[a] == signature[b]).mean() - obvious_jaccard(texts[a], texts[b])
        for a, b in combinations(range(60), 2)
    ]
    assert abs(np.mean(errors)) < 0.005
    assert np.max(np.abs(errors)) < 5 * np.sqrt(0.25 / signature.shape[1])


def test_the_seed_and_the_order_of_texts_do_not_change_what_is_found() -> None:
    texts = words(90)
    straight = minhash.by_minhash(texts, 0.7)
    order = np.random.default_rng(2).permutation(90)
    mixed = minhash.by_minhash([texts[i] for i in order], 0.7, seed=5)
    same = straight[:, None] == straight[None]
    alone = straight == -1
    same_mixed = mixed[:, None] == mixed[None]
    np.testing.assert_array_equal(mixed == -1, alone[order])
    kept = ~alone[order]
    np.testing.assert_array_equal(same_mixed[kept][:, kept], same[order][:, order][kept][:, kept])


def test_thousands_of_copies_stay_one_group_and_linear() -> None:
    texts = [f"Summarise this text in one line, please, number {k % 3}." for k in range(600)]
    a, _ = minhash._candidates(minhash.signatures(texts))
    assert len(a) < 600 * minhash.WINDOW * 4
    assert (minhash.by_minhash(texts, 0.9) == 0).all()


def test_the_forest_keeps_the_most_similar_pairs_first() -> None:
    found = links(cloud(50), 0.2)
    assert (np.diff(found.similarity) <= 0).all()
    assert (found.a < found.b).all()
    assert isinstance(found, Links)
