"""The audit's queue and what its verdicts say, against the obvious."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import audit, verdicts
from core.curves import wilson

WANTED = {"kept": 8, "dropped": 12, "borderline": 6, "disagreement": 4}


def pool(n=400, seed=0):
    chance = np.random.default_rng(seed)
    score = chance.normal(size=n)
    kept = score >= np.sort(score)[-n // 4]
    return chance.integers(0, 2**52, n), score, kept, chance.random(n)


def drawn(wanted=None, seed=3, order=None, n=400):
    id_hash, score, kept, apart = (x if order is None else x[order] for x in pool(n))
    line = audit.edge(score, kept, np.ones(len(score), bool))
    found = audit.queue(kept, id_hash, wanted or WANTED, seed, line, apart)
    return found, id_hash, score, kept, apart


def test_every_stratum_has_what_was_asked_for_and_no_sample_is_there_twice():
    found, _, _, kept, _ = drawn()
    assert {s: len(found.of(s)) for s in audit.STRATA} == WANTED
    assert len(set(found.rows.tolist())) == sum(WANTED.values())
    assert kept[found.of("kept")].all()
    assert not kept[found.of("dropped")].any()
    assert found.sizes == {"kept": int(kept.sum()), "dropped": int((~kept).sum())}


def test_the_same_seed_draws_the_same_samples_whatever_the_order_of_the_pool():
    first, ids, *_ = drawn()
    order = np.random.default_rng(9).permutation(400)
    second, moved, *_ = drawn(order=order)
    assert ids[first.rows].tolist() == moved[second.rows].tolist()
    assert first.stratum.tolist() == second.stratum.tolist()
    other, *_ = drawn(seed=4)
    assert first.rows.tolist() != other.rows.tolist()


def test_another_recipe_has_another_draw():
    assert audit.seeded(1, "ab12") != audit.seeded(1, "ab13")
    assert audit.seeded(1, "ab12") != audit.seeded(2, "ab12")


@pytest.mark.parametrize("stratum", ["kept", "dropped"])
def test_a_larger_queue_goes_on_where_the_smaller_one_ended(stratum):
    small, *_ = drawn({"kept": 5, "dropped": 5})
    large, *_ = drawn({"kept": 40, "dropped": 30})
    assert large.of(stratum)[:5].tolist() == small.of(stratum).tolist()


def test_strata_are_mixed():
    found, *_ = drawn({"kept": 50, "dropped": 50})
    half = found.stratum[:50]
    assert 15 < (half == 0).sum() < 35


@pytest.mark.parametrize("kept_n", [0, 1, 399, 400])
def test_a_stratum_that_is_too_small_gives_all_it_has(kept_n):
    ids = np.arange(400)
    kept = ids < kept_n
    found = audit.queue(kept, ids, {"kept": 10, "dropped": 10}, 0)
    assert len(found.of("kept")) == min(10, kept_n)
    assert len(found.of("dropped")) == min(10, 400 - kept_n)


def test_each_sample_is_drawn_about_equally_often():
    ids, _, kept, _ = pool(60)
    counts = np.zeros(60)
    for seed in range(600):
        counts[audit.queue(kept, ids, {"dropped": 9}, seed).rows] += 1
    share = counts[~kept] / 600
    assert counts[kept].sum() == 0
    assert abs(share.mean() - 9 / (~kept).sum()) < 1e-12
    assert share.std() < 0.035  # 0.016 by chance alone


def test_the_borderline_is_what_is_nearest_the_line_on_both_sides():
    found, _, score, kept, _ = drawn({"borderline": 6})
    line = (score[kept].min() + score[~kept].max()) / 2
    by_distance = np.argsort(np.abs(score - line))
    for side in (kept, ~kept):
        right = [r for r in by_distance if side[r]][:3]
        assert sorted(r for r in found.of("borderline") if side[r]) == sorted(right)


def test_what_was_not_in_the_running_is_not_borderline():
    score = np.array([5.0, 4.0, 3.0, 2.0, np.nan, 3.9])
    kept = np.array([True, True, False, False, False, False])
    running = np.array([True, True, True, True, True, False])
    np.testing.assert_allclose(
        audit.edge(score, kept, running), [1.5, 0.5, -0.5, -1.5, np.nan, np.nan]
    )
    assert np.isnan(audit.edge(score, np.ones(6, bool), running)).all()
    assert np.isnan(audit.edge(score, np.zeros(6, bool), running)).all()


def test_disagreement_is_the_spread_of_rank_shares():
    a = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    b = np.array([5.0, 4.0, np.nan, 2.0, 1.0])
    share_a = [0.125, 0.375, 0.625, np.nan, 0.875]
    share_b = [0.875, 0.625, np.nan, 0.375, 0.125]
    np.testing.assert_allclose(audit.rank_share(a), share_a)
    np.testing.assert_allclose(audit.rank_share(b), share_b)
    np.testing.assert_allclose(audit.disagreement([a, b]), [0.75, 0.25, np.nan, np.nan, 0.75])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_a_rank_share_is_the_share_below_with_ties_half(numbers):
    score = np.array(numbers, float)
    slow = [np.mean((score < v) + 0.5 * (score == v)) for v in score]
    np.testing.assert_allclose(audit.rank_share(score), slow)
    assert np.isnan(audit.rank_share(np.full(4, np.nan))).all()


@given(
    st.integers(0, 2**31), st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 50)
)
def test_first_is_a_stable_sort_cut_short(seed, numbers, count):
    order = np.array(numbers)
    mask = np.random.default_rng(seed).random(len(order)) < 0.7
    slow = sorted(np.flatnonzero(mask).tolist(), key=lambda r: (order[r], r))[:count]
    assert audit.first(order, mask, count).tolist() == slow


def marks(text):
    names = {"g": "good", "b": "bad", "u": "unsure"}
    return {f"s{k}": names[c] for k, c in enumerate(text) if c in names}


def test_an_estimate_counts_each_verdict_and_leaves_unsure_out_of_the_share():
    ids = [f"s{k}" for k in range(10)]
    found = verdicts.estimate(ids, marks("gggbu"), 1000)
    assert (found.good, found.bad, found.unsure, found.waiting) == (3, 1, 1, 0)
    assert found.share == 0.75
    assert found.bounds == (0.6, 0.8)


def test_a_verdict_out_of_order_waits_until_the_ones_before_it_are_there():
    ids = [f"s{k}" for k in range(6)]
    found = verdicts.estimate(ids, marks("gb.gg"), 1000)
    assert (found.judged, found.waiting) == (2, 2)
    assert verdicts.estimate(ids, marks("gbbgg"), 1000).judged == 5


@pytest.mark.parametrize(("drawn", "size"), [(["s0"], 1000), (["s0"], 1), ([], 0), ([], 5)])
def test_without_a_verdict_nothing_is_known(drawn, size):
    found = verdicts.estimate(drawn, {}, size)
    assert np.isnan(found.share)
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.bounds == (0.0, 1.0)


def test_judging_all_leaves_no_doubt_and_a_large_pool_gives_wilsons_interval():
    ids = [f"s{k}" for k in range(8)]
    whole = verdicts.estimate(ids, marks("gggggbbb"), 8)
    assert (whole.low, whole.high) == (5 / 8, 5 / 8)
    all_but_unsure = verdicts.estimate(ids, marks("gggggbbu"), 8)
    assert (all_but_unsure.low, all_but_unsure.high) == (5 / 7, 5 / 7)
    part = verdicts.estimate(ids, marks("gggggbbb"), 10**9)
    assert (part.low, part.high) == pytest.approx(wilson(5, 8))
    some = verdicts.estimate(ids, marks("gggggbbb"), 16)
    assert wilson(5, 8)[0] < some.low < 5 / 8 < some.high < wilson(5, 8)[1]


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 1000))
def test_an_interval_holds_its_share(share, seed):
    n, size = 20, 60
    hits = int(np.random.default_rng(seed).binomial(n, share))
    low, high = verdicts.interval(hits, n, size)
    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    chance = np.random.default_rng(5)
    truth = np.arange(80) < 50
    covered = 0
    for _ in range(1500):
        hits = int(truth[chance.choice(80, 25, replace=False)].sum())
        low, high = verdicts.interval(hits, 25, 80)
        covered += low <= 50 / 80 <= high
    assert 0.92 < covered / 1500 < 0.985


def test_a_sample_of_several_reviewers_counts_once_by_those_who_decided():
    by = {"a": marks("ggbu"), "b": marks("gbbu"), "c": marks("bub")}
    assert verdicts.majority(by) == marks("gubu")


def kappa_slowly(a, b):
    n = len(a)
    same = sum(x == y for x, y in zip(a, b, strict=True)) / n
    chance = sum((a.count(v) / n) * (b.count(v) / n) for v in "gub")
    return (same - chance) / (1 - chance)


@given(st.lists(st.sampled_from(["gg", "gb", "bb", "ub", "uu", "gu"]), min_size=10, max_size=40))
def test_kappa_is_agreement_beyond_chance(pairs):
    a, b = "".join(p[0] for p in pairs), "".join(p[1] for p in pairs)
    found = verdicts.agreement("x", marks(a), "y", marks(b))
    assert found.same == pytest.approx(np.mean([x == y for x, y in pairs]))
    if a == b and len(set(a)) == 1:
        assert np.isnan(found.kappa)
        return
    assert found.kappa == pytest.approx(kappa_slowly(a, b))
    assert -1 <= found.low <= found.kappa <= found.high <= 1


def test_a_textbook_kappa():
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.4."""
    a = "g" * 25 + "b" * 25
    b = "g" * 20 + "b" * 5 + "g" * 10 + "b" * 15
    assert verdicts.agreement("x", marks(a), "y", marks(b)).kappa == pytest.approx(0.4)


def test_too_few_common_samples_give_no_kappa_and_none_no_row():
    by = {"a": marks("ggg"), "b": marks("ggb"), "c": {"else": "good"}}
    [only] = verdicts.agreements(by)
    assert (only.one, only.other, only.n) == ("a", "b", 3)
    assert only.same == pytest.approx(2 / 3)
    assert np.isnan(only.kappa)
