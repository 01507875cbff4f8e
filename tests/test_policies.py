"""Budgets and policies: read exactly, never exceeded, ties in pool order."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BudgetError
from core.policies import Candidates, build, catalogue
from core.policies.budget import Budget
from core.policies.top import Top

VALUES = st.lists(
    st.one_of(st.floats(-3, 3), st.sampled_from([0.0, -0.0, 1.0, np.nan])), max_size=40
)
NONE = np.array([])


def top(
    value: np.ndarray, n_tokens: np.ndarray, budget: Budget, *, crossing: bool = False
) -> np.ndarray:
    return Top(crossing=crossing).choose(Candidates(value, n_tokens), budget).rows


def limit(text: str, n: int, n_tokens: np.ndarray = NONE) -> int:
    return Budget.parse(text).limit(n, n_tokens)


@pytest.mark.parametrize(
    ("text", "amount", "share", "unit"),
    [
        ("160", "160", False, "samples"),
        (" 160 samples ", "160", False, "samples"),
        ("1 sample", "1", False, "samples"),
        ("12,480", "12480", False, "samples"),
        ("1_000_000", "1000000", False, "samples"),
        ("10%", "10", True, "samples"),
        ("10 %", "10", True, "samples"),
        ("0.5%", "0.5", True, "samples"),
        ("100%", "100", True, "samples"),
        ("100.0 % samples", "100.0", True, "samples"),
        ("5000 tokens", "5000", False, "tokens"),
        ("5,000tok", "5000", False, "tokens"),
        ("1 token", "1", False, "tokens"),
        ("10% tokens", "10", True, "tokens"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text: str, amount: str, share: bool, unit: str) -> None:
    budget = Budget.parse(text)
    assert (budget.amount, budget.share, budget.unit) == (Decimal(amount), share, unit)
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", "must be more than 0"),
        ("0%", "must be more than 0"),
        ("0.00% tokens", "must be more than 0"),
        ("200%", "more than the whole pool"),
        ("100.01%", "more than the whole pool"),
        ("2.5", "must be a whole number"),
        ("2.5 tokens", "must be a whole number"),
        *(
            (text, "is not a budget")
            for text in (
                *("", " ", "%", "-5", "-10%", "+5", "ten", "all", "10 %%", "10 words", "1e3"),
                *("1.2.3", "1,5%", "1,0000", "5.", ".5%", "10;", "٣", "inf", "nan", "10 20"),
            )
        ),
    ],
)
def test_what_is_no_budget_is_one_sentence_with_examples(text: str, told: str) -> None:
    with pytest.raises(BudgetError, match=told) as caught:
        Budget.parse(text)
    assert str(caught.value).endswith(
        "Give samples (160), per cent (10%), tokens (5000 tokens) or both (10% tokens)."
    )


def test_per_cents_are_rounded_down_exactly() -> None:
    assert limit("29%", 100) == 29  # 0.29 * 100 is 28.999999999999996
    assert limit("0.1%", 3000) == 3
    assert limit("33.3%", 1000) == 333
    assert limit("10%", 9) == 0
    assert limit("100%", 7) == 7
    for per_cent in range(1, 101):
        for n in (1, 7, 100, 1000, 98_204):
            assert limit(f"{per_cent}%", n) == per_cent * n // 100


@given(st.decimals(0, 100, places=6).filter(bool), st.integers(0, 10**9))
def test_a_share_never_rounds_up(per_cent: Decimal, n: int) -> None:
    assert limit(f"{per_cent:f}%", n) == Fraction(per_cent) * n // 100


def test_a_share_of_tokens_counts_the_whole_pool() -> None:
    n_tokens = np.array([10.0, np.nan, 25.0, 65.0])
    assert limit("29% tokens", 4, n_tokens) == 29
    assert limit("50 tokens", 4, n_tokens) == 50


def test_the_highest_come_first_and_ties_keep_pool_order() -> None:
    value = np.array([1.0, 3.0, np.nan, 1.0, 3.0, 2.0, 1.0])
    chosen = top(value, np.ones(7), Budget.parse("5"))
    assert chosen.tolist() == [1, 4, 5, 0, 3]
    assert top(value, np.ones(7), Budget.parse("99")).tolist() == [1, 4, 5, 0, 3, 6]


@given(VALUES, st.integers(1, 50))
def test_top_is_the_obvious_sort(values: list[float], n: int) -> None:
    value = np.array(values, float)
    scored = [i for i in range(len(values)) if values[i] == values[i]]
    expected = sorted(scored, key=lambda i: -values[i])[:n]  # sorted() is stable too
    assert top(value, np.ones(len(values)), Budget.parse(str(n))).tolist() == expected


@given(VALUES, st.integers(1, 50), st.integers(0, 40), st.integers(0, 9))
def test_a_larger_budget_only_adds_at_the_end(
    values: list[float], n: int, more: int, seed: int
) -> None:
    value = np.array(values, float)
    n_tokens = np.random.default_rng(seed).integers(0, 9, len(values)) * 1.0
    for unit in ("", " tokens"):
        small = top(value, n_tokens, Budget.parse(f"{n}{unit}")).tolist()
        large = top(value, n_tokens, Budget.parse(f"{n + more}{unit}")).tolist()
        assert large[: len(small)] == small


@given(VALUES, st.integers(1, 100), st.integers(0, 9), st.booleans())
def test_a_token_budget_is_a_prefix_within_the_limit(
    values: list[float], n: int, seed: int, share: bool
) -> None:
    value = np.array(values, float)
    n_tokens = np.random.default_rng(seed).integers(0, 9, len(values)) * 1.0
    budget = Budget.parse(f"{n}% tokens" if share else f"{n} tokens")
    allowed = budget.limit(len(values), n_tokens)
    ranked = top(value, n_tokens, Budget.parse("100%")).tolist()
    chosen = top(value, n_tokens, budget).tolist()
    assert chosen == ranked[: len(chosen)]
    assert n_tokens[chosen].sum() <= allowed
    if len(chosen) < len(ranked):  # the next one would not have fitted
        assert n_tokens[ranked[: len(chosen) + 1]].sum() > allowed


def test_crossing_takes_the_sample_that_crosses_and_one_at_least() -> None:
    value, n_tokens = np.array([5.0, 4, 3, 2, np.nan]), np.array([10.0, 10, 10, 10, 10])
    taken = {
        (text, crossing): len(top(value, n_tokens, Budget.parse(text), crossing=crossing))
        for text in ("1 token", "10 tokens", "11 tokens", "20 tokens", "999 tokens")
        for crossing in (False, True)
    }
    assert [taken[key, False] for key, _ in list(taken)[::2]] == [0, 1, 1, 2, 4]
    assert [taken[key, True] for key, _ in list(taken)[::2]] == [1, 1, 2, 2, 4]


def test_a_budget_far_beyond_the_pool_is_the_pool() -> None:
    value, n_tokens = np.array([1.0, np.nan, 2.0]), np.ones(3)
    for text in (f"{10**30}", f"{10**30} tokens", "100%", "100% tokens"):
        assert top(value, n_tokens, Budget.parse(text)).tolist() == [2, 0]


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_scored_is_nothing_chosen(n: int) -> None:
    value = np.full(n, np.nan)
    for text in ("5", "50%", "5 tokens", "50% tokens"):
        for crossing in (False, True):
            assert len(top(value, np.ones(n), Budget.parse(text), crossing=crossing)) == 0


def test_an_unknown_policy_gets_the_list_of_those_there_are() -> None:
    assert [build(name).name for name in catalogue()] == sorted(catalogue())
    known = ", ".join(catalogue())
    with pytest.raises(
        BudgetError, match=f"no policy by this name. Got 'best'. Use one of: {known}"
    ):
        build("best")


@pytest.mark.parametrize("name", catalogue())
def test_a_policy_is_a_card_with_described_and_bounded_parameters(name: str) -> None:
    policy = build(name)
    assert policy.title
    assert policy.source
    assert policy.__doc__
    assert build(name, policy.model_dump()) == policy
    for field, spec in type(policy).model_fields.items():
        assert spec.description, field
        if spec.annotation in (int, float):
            assert len(spec.metadata) >= 2, field
    with pytest.raises(BudgetError, match=rf"{name}.nope: there is no such parameter"):
        build(name, {"nope": 1})


def test_a_parameter_from_a_command_line_is_converted_or_refused_in_one_sentence() -> None:
    assert build("water_filling", {"seed": "7", "by_source": "true"}) == build(
        "water_filling", {"seed": 7, "by_source": True}
    )
    with pytest.raises(
        BudgetError, match=r"trim.low: input should be .* Got '0.7'. It is the share"
    ):
        build("trim", {"low": "0.7"})
