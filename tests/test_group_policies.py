"""Policies that share a budget out between groups: quotas, bands and levels."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BudgetError
from core.policies import Candidates, Chosen
from core.policies.bands import Bands
from core.policies.budget import Budget
from core.policies.quotas import Quotas, apportion
from core.policies.random_draw import RandomDraw
from core.policies.trim import Trim
from core.policies.water_filling import WaterFilling, fill, split

SIZES = st.lists(st.integers(0, 7), min_size=1, max_size=4)


def pool(n: int, groups: int = 4, seed: int = 0, ties: bool = False) -> Candidates:
    draw = np.random.default_rng(seed)
    value = draw.integers(0, 4, n) * 1.0 if ties else draw.permutation(n) * 1.0
    value[draw.random(n) < 0.1] = np.nan
    return Candidates(
        value,
        draw.integers(1, 30, n) * 1.0,
        draw.integers(0, groups, n) ** 2 % 7,
        draw.integers(0, 3, n),
        id_hash=draw.permutation(2 * n)[:n],
    )


def choose(policy: Any, candidates: Candidates, budget: str) -> Chosen:
    return policy.choose(candidates, Budget.parse(budget))


def per_group(rows: np.ndarray, group: np.ndarray) -> dict[int, list[int]]:
    return {g: [i for i in rows.tolist() if group[i] == g] for g in np.unique(group).tolist()}


@given(SIZES, st.integers(0, 40))
def test_quotas_by_size_add_up_and_no_other_whole_numbers_are_nearer(
    sizes: list[int], total: int
) -> None:
    quotas = apportion(sizes, sizes, total)
    total = min(total, sum(sizes))
    assert sum(quotas) == total
    ideal = [total * size / max(1, sum(sizes)) for size in sizes]
    off = sum((q - x) ** 2 for q, x in zip(quotas, ideal, strict=True))
    others = [range(size + 1) for size in sizes]
    least = min(
        sum((q - x) ** 2 for q, x in zip(other, ideal, strict=True))
        for other in product(*others)
        if sum(other) == total
    )
    assert off == pytest.approx(least)


@given(SIZES, st.integers(0, 40), st.integers(0, 99))
def test_what_a_full_group_cannot_take_goes_to_the_others_by_weight(
    caps: list[int], total: int, seed: int
) -> None:
    weights = np.random.default_rng(seed).integers(1, 6, len(caps)).tolist()
    quotas = apportion(weights, caps, total)
    assert sum(quotas) == min(total, sum(caps))
    assert all(0 <= q <= cap for q, cap in zip(quotas, caps, strict=True))
    low, high = 0.0, 100.0  # the level at which min(cap, level * weight) add up, by halving
    for _ in range(60):
        level = (low + high) / 2
        even = [min(c, level * w) for c, w in zip(caps, weights, strict=True)]
        low, high = (level, high) if sum(even) < total else (low, level)
    assert all(abs(q - x) < 1 + 1e-9 for q, x in zip(quotas, even, strict=True))


@pytest.mark.parametrize("budget", ["1", "13", "40%", "100%"])
@pytest.mark.parametrize("seed", range(3))
def test_quotas_take_the_best_of_each_group_by_the_share_of_its_size(
    budget: str, seed: int
) -> None:
    candidates = pool(80, seed=seed, ties=True)
    value, group = candidates.value, candidates.group
    assert group is not None
    members = per_group(candidates.rows, group)
    total = Budget.parse(budget).limit(80, candidates.n_tokens)
    sizes = [len(rows) for rows in members.values()]
    chosen = choose(Quotas(), candidates, budget).rows
    taken = per_group(chosen, group)
    for (g, rows), quota in zip(members.items(), apportion(sizes, sizes, total), strict=True):
        assert taken[g] == sorted(rows, key=lambda i: -value[i])[:quota]
    assert chosen.tolist() == sorted(chosen, key=lambda i: (-value[i], i))


def test_a_token_quota_too_small_for_any_sample_is_not_lost() -> None:
    candidates = Candidates(np.arange(6.0), np.full(6, 10.0), np.arange(6))
    chosen = choose(Quotas(), candidates, "30 tokens").rows
    assert chosen.tolist() == [5, 4, 3]  # 5 tokens a group buy nothing; the best get them


def test_adg_rounding_leaves_budget_and_says_so() -> None:
    candidates = Candidates(np.arange(10.0), np.ones(10), np.array([0] * 5 + [1] * 3 + [2] * 2))
    chosen = choose(Quotas(rule="adg"), candidates, "6")
    assert chosen.rows.tolist() == [4, 7]  # a third of 5 and of 3; a group of 2 gives nothing
    assert chosen.notes == ("ADG's rounding leaves 4 of 6 samples unspent.",)


def test_bands_stand_in_the_order_in_which_they_are_written() -> None:
    group = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    candidates = Candidates(np.arange(9.0), np.ones(9), group)
    assert choose(Bands(), candidates, "6").rows.tolist() == [2, 1, 5, 4, 8, 7]
    assert choose(Bands(bands="2, 0"), candidates, "4").rows.tolist() == [8, 7, 2, 1]
    assert choose(Bands(bands="0:1 2:3"), candidates, "4").rows.tolist() == [2, 8, 7, 6]


def test_a_band_that_is_too_small_leaves_its_rest_to_the_others_and_then_a_note() -> None:
    candidates = Candidates(np.arange(6.0), np.ones(6), np.array([0, 1, 1, 1, 1, 2]))
    assert choose(Bands(bands="0 1"), candidates, "4").rows.tolist() == [0, 4, 3, 2]
    short = choose(Bands(bands="0 2"), candidates, "4")
    assert short.rows.tolist() == [0, 5]
    assert short.notes == ("The chosen bands hold 2 samples less than the budget.",)


def test_a_band_that_is_not_there_lists_those_there_are() -> None:
    candidates = Candidates(np.arange(2.0), np.ones(2), np.array([0, 2]))
    with pytest.raises(BudgetError, match=r"bands.bands: no sample .* Got 1. Use some of: 0, 2"):
        choose(Bands(bands="1"), candidates, "1")


@given(SIZES, st.integers(0, 40))
def test_water_filling_hands_out_rounds_and_the_last_round_to_the_largest(
    sizes: list[int], total: int
) -> None:
    groups = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    chosen = fill(groups, np.ones(sum(sizes)), total, lambda rows, level: rows[:level])
    taken = [int(np.isin(rows, chosen).sum()) for rows in groups]
    expected, rest = [0] * len(sizes), min(total, sum(sizes))
    ascending = sorted(range(len(sizes)), key=lambda i: sizes[i])
    while rest:
        open_ = [i for i in ascending if expected[i] < sizes[i]]
        for i in open_[-rest:]:
            expected[i] += 1
        rest -= len(open_[-rest:])
    assert taken == expected


def test_groups_below_the_smallest_wait_until_the_others_are_done() -> None:
    candidates = Candidates(np.arange(9.0), np.ones(9), np.array([0, 1, 1, 2, 2, 2, 3, 3, 3]))
    waits = WaterFilling(smallest=3)
    assert set(choose(waits, candidates, "6").rows.tolist()) == {3, 4, 5, 6, 7, 8}
    assert len(choose(waits, candidates, "8").rows) == 8
    over = choose(waits, candidates, "12")
    assert sorted(over.rows.tolist()) == list(range(9))
    assert over.notes == ("The budget asks for 12 samples, and all 9 are taken.",)


def test_by_source_fills_sources_before_groups() -> None:
    source, group = np.repeat([0, 1], [4, 12]), np.array([0] * 4 + [0] * 10 + [1] * 2)
    candidates = Candidates(np.arange(16.0), np.ones(16), group, source)
    chosen = choose(WaterFilling(by_source=True, draw="best"), candidates, "8").rows
    assert chosen.tolist() == [0, 1, 2, 3, 14, 15, 13, 12]
    unknown = Candidates(np.arange(16.0), np.ones(16), group)
    with pytest.raises(BudgetError, match="the sources are not known"):
        choose(WaterFilling(by_source=True), unknown, "8")


def test_a_draw_takes_each_sample_about_equally_often() -> None:
    n, seeds = 40, 400
    candidates = Candidates(np.zeros(n), np.ones(n), np.zeros(n, int), id_hash=np.arange(n))
    for policy in (RandomDraw, WaterFilling):
        counts = np.zeros(n)
        for seed in range(seeds):
            counts[choose(policy(seed=seed), candidates, "10").rows] += 1
        assert np.abs(counts - seeds / 4).max() < 5 * np.sqrt(seeds * 3 / 16)  # 5 sigma


def test_a_sample_that_is_added_does_not_shift_a_random_order() -> None:
    ids = np.random.default_rng(1).permutation(10_000)[:500]
    order = [
        choose(RandomDraw(), Candidates(np.zeros(k), np.ones(k), id_hash=ids[:k]), "100%").rows
        for k in (499, 500)
    ]
    assert [i for i in order[1].tolist() if i != 499] == order[0].tolist()


def test_trim_sets_both_tails_of_the_score_aside() -> None:
    candidates = Candidates(np.array([np.nan, *np.arange(10.0)]), np.ones(11))
    assert choose(Trim(low=0.2, high=0.1), candidates, "99").rows.tolist() == [9, 8, 7, 6, 5, 4, 3]
    middle = Trim(low=0.25, high=0.25, rule="quantile")
    assert choose(middle, candidates, "99").rows.tolist() == [7, 6, 5, 4]


def test_split_is_the_obvious_grouping() -> None:
    label, rows = np.array([3, 1, 3, 0, 1]), np.array([4, 2, 0, 1])
    assert [part.tolist() for part in split(rows, label)] == [[4, 1], [2, 0]]
    assert split(rows[:0], label) == []
