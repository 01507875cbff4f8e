"""Answer entropy: bands, what is left out, and what the numbers mean."""

from typing import Any

import numpy as np
import pytest

from core.domain import Scores
from core.engines import LETTERS
from core.errors import MethodError
from core.methods import Method, build
from core.methods.answer_entropy import DONT_KNOW, NONE, bands, even_chunks, options


def method(**params: Any) -> Method:
    return build("answer_entropy", params)


def measured(entropy: Any, **columns: Any) -> dict[str, np.ndarray]:
    """Multiple-choice samples of these entropies, answered with option 1; 1 is right."""
    entropy = np.asarray(entropy, float)
    n = len(entropy)
    letters = np.full((n, LETTERS), np.nan, np.float32)
    letters[:, :4] = np.log([0.1, 0.6, 0.1, 0.1])
    usual: dict[str, Any] = {
        "entropy": entropy,
        "greedy": np.arange(n),
        "choice": np.ones(n, bool),
        "predicted": np.ones(n, int),
        "gold": np.ones(n, int),
        "options": letters,
        "over_long": np.zeros(n, bool),
    }
    return {f"answer_{name}": np.asarray(column) for name, column in (usual | columns).items()}


def left_out(scores: Scores) -> dict[str, list[int]]:
    found = {why: np.flatnonzero(mask).tolist() for why, mask in scores.excluded.items()}
    return {why: rows for why, rows in found.items() if rows}


def test_the_hardest_come_first() -> None:
    scores = method().score(measured([0.2, 1.5, 1e-9, 0.7]))
    assert np.argsort(-scores.value).tolist() == [1, 3, 0, 2]
    assert scores.value.tolist() == [0.2, 1.5, 1e-9, 0.7]


def test_bands_keep_their_lower_bounds() -> None:
    assert bands(np.array([0.0, 0.1, 0.2, 0.5, 0.9]), 0.1, 0.5).tolist() == [0, 1, 1, 2, 2]
    x = measured(np.arange(9.0))  # quartiles 2 and 6
    scores = method().score(x)
    assert scores.group is not None
    assert scores.group.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert scores.diagnostics["band"].tolist() == scores.group.tolist()


def test_quantiles_are_those_of_the_scored_samples() -> None:
    entropy = np.r_[np.arange(9.0), np.full(20, 50.0)]
    scores = method().score(measured(entropy, choice=np.arange(29) < 9))
    assert scores.group is not None
    assert scores.group.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2] + [-1] * 20


def test_absolute_cuts_are_shares_of_the_highest_entropy() -> None:
    scores = method(cuts="absolute", low=0.1, high=0.5).score(measured([0.0, 0.2, 1.0, 1.9, 2.0]))
    assert scores.group is not None
    assert scores.group.tolist() == [0, 1, 2, 2, 2]
    np.testing.assert_allclose(
        scores.diagnostics["entropy_normalised"], [0, 0.1, 0.5, 0.95, 1], rtol=1e-12
    )


@pytest.mark.parametrize("cuts", ["quantile", "absolute", "chunks"])
def test_a_pool_of_certain_answers_has_bands_too(cuts: str) -> None:
    scores = method(cuts=cuts, chunks=2).score(measured(np.zeros(4)))
    assert np.isfinite(scores.value).all()
    assert scores.group is not None
    assert (scores.group >= 0).all()


def test_chunks_are_equal_and_leave_the_remainder_at_the_high_end() -> None:
    entropy = np.random.default_rng(0).permutation(20) / 3
    chunk = even_chunks(entropy, 6)
    assert np.bincount(chunk + 1).tolist() == [2, 3, 3, 3, 3, 3, 3]
    by_rank = chunk[np.argsort(entropy)]
    assert by_rank.tolist() == [*np.repeat(np.arange(6), 3), -1, -1]
    scores = method(cuts="chunks", chunks=6).score(measured(entropy))
    assert left_out(scores) == {
        "left over by the chunks": np.flatnonzero(entropy > 17.5 / 3).tolist()
    }
    assert even_chunks(np.zeros(5), 2).tolist() == [0, 0, 1, 1, -1]
    assert even_chunks(np.zeros(3), 4).tolist() == [-1, -1, -1]


def test_other_samples_are_left_out_or_scored_by_their_first_token() -> None:
    x = measured([0.5, 1.5, 2.5], choice=[True, False, False])
    assert left_out(method().score(x)) == {"not multiple choice": [1, 2]}
    everything = method(applies_to="all").score(x)
    assert everything.value.tolist() == [0.5, 1.5, 2.5]
    assert np.isnan(everything.diagnostics["correct"]).tolist() == [False, True, True]


def test_a_pool_without_multiple_choice_is_all_left_out() -> None:
    for params in ({}, {"cuts": "chunks"}, {"cuts": "absolute"}, {"score_over": "options"}):
        scores = method(**params).score(measured([0.5, 1.5], choice=np.zeros(2, bool)))
        assert np.isnan(scores.value).all()
        assert set(scores.reasons()) == {"not multiple choice"}


def test_questions_without_an_answer_are_left_out_unless_kept() -> None:
    x = measured([1.0, 2.0, 3.0], predicted=[1, NONE, DONT_KNOW])
    assert left_out(method().score(x)) == {
        "the model names none of the options": [1],
        "the model says that it does not know": [2],
    }
    kept = method(invalid="keep").score(x)
    assert left_out(kept) == {}
    assert kept.diagnostics["correct"].tolist() == [1, 0, 0]


def test_over_long_and_broken_samples_have_one_reason_each() -> None:
    x = measured(
        [1.0, np.nan, np.nan, np.nan],
        over_long=[False, True, False, True],
        predicted=[1, NONE, 1, NONE],
        choice=[True, True, True, False],
    )
    assert left_out(method().score(x)) == {
        "not multiple choice": [3],
        "longer than the token limit": [1],
        "the entropy is not a number": [2],
    }


def test_correct_is_unknown_where_the_right_option_is() -> None:
    scores = method().score(measured([1.0, 1.0, 1.0], gold=[1, 2, -1]))
    assert scores.diagnostics["correct"][:2].tolist() == [1, 0]
    assert np.isnan(scores.diagnostics["correct"][2])
    np.testing.assert_allclose(
        scores.diagnostics["label_log_probability"], [np.log(0.6), np.log(0.1), np.nan], rtol=1e-6
    )


def test_option_entropy_is_that_of_a_softmax_over_the_letters() -> None:
    rng = np.random.default_rng(1)
    log_p = np.full((5, LETTERS), np.nan)
    log_p[0, :4] = np.log(rng.dirichlet(np.ones(4)) * 0.3)
    log_p[1, :2] = np.log([0.2, 0.2])
    log_p[2, :3] = [-np.inf, -5.0, -np.inf]
    log_p[3, :2] = -np.inf
    entropy, right = options(log_p, np.array([2, 0, 1, 0, -1]))
    p = np.exp(log_p[0, :4]) / np.exp(log_p[0, :4]).sum()
    np.testing.assert_allclose(entropy[:3], [-(p * np.log(p)).sum(), np.log(2), 0], atol=1e-12)
    assert np.isnan(entropy[3:]).all()
    np.testing.assert_allclose(right, [log_p[0, 2], np.log(0.2), -5, -np.inf, np.nan])


def test_the_score_may_be_taken_over_the_options_alone() -> None:
    scores = method(score_over="options").score(measured([0.0, 3.0]))
    p = np.array([1, 6, 1, 1]) / 9
    np.testing.assert_allclose(scores.value, [-(p * np.log(p)).sum()] * 2, rtol=1e-6)


def test_every_knob_but_the_wording_is_live() -> None:
    live = {
        "score_over": "options",
        "applies_to": "all",
        "invalid": "keep",
        "cuts": "chunks",
        "low": 0.1,
        "high": 0.9,
        "chunks": 3,
    }
    assert method().is_live(live)
    assert set(live) | {"wording"} == set(type(method()).model_fields)
    assert not method().is_live({"wording": "fallback"})


def test_bounds_out_of_order_are_one_sentence() -> None:
    with pytest.raises(MethodError, match=r"^answer_entropy\.high: must not lie below low\. Got"):
        method(low=0.8)
    assert method(low=0.5, high=0.5)
