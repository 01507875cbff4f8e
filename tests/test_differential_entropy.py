"""What holds for differential entropy alone."""

from typing import Any

import numpy as np
import pytest

from core.domain import Scores
from core.errors import MethodError
from core.methods import Method, build


def measured(drops: Any, entropy_drops: Any = None, **columns: Any) -> dict[str, np.ndarray]:
    """Columns with these NLL drops (n,) and entropy drops (n,)."""
    drops = np.asarray(drops, float)
    n = len(drops)
    lower = drops if entropy_drops is None else np.asarray(entropy_drops, float)
    usual: dict[str, Any] = {
        "base_nll": drops + 5,
        "calibrated_nll": np.full(n, 5.0),
        "base_entropy": lower + 2,
        "calibrated_entropy": np.full(n, 2.0),
        "base_n_tokens": np.full(n, 8),
        "base_over_long": np.zeros(n, bool),
        "calibrated_over_long": np.zeros(n, bool),
        "calibrated_in_warm_up": np.zeros(n, bool),
    }
    return {name: np.asarray(column) for name, column in (usual | columns).items()}


def differential(**params: Any) -> Method:
    return build("differential_entropy", params)


def left_out(scores: Scores) -> dict[str, list[int]]:
    return {why: np.flatnonzero(mask).tolist() for why, mask in scores.excluded.items()}


LOW, HIGH = "NLL drop in the low tail", "NLL drop in the high tail"


def test_the_lowest_signed_entropy_drop_comes_first() -> None:
    x = measured(np.arange(4), [0.5, -1.0, 0.0, -0.2])
    scores = differential(trim_low=0, trim_high=0).score(x)
    assert np.argsort(-scores.value).tolist() == [1, 3, 2, 0]


def test_tails_are_cut_by_whole_samples_rounded_down() -> None:
    drops = np.random.default_rng(0).permutation(100) / 7
    out = left_out(differential(trim_low=0.29, trim_high=0.1).score(measured(drops)))
    assert sorted(out[LOW]) == sorted(np.argsort(drops)[:28])  # int(100 * 0.29) = 28
    assert sorted(out[HIGH]) == sorted(np.argsort(drops)[-10:])


def test_each_tail_may_be_cut_alone() -> None:
    x = measured(np.arange(10))
    assert left_out(differential(trim_low=0.2, trim_high=0).score(x))[HIGH] == []
    assert left_out(differential(trim_low=0.2, trim_high=0).score(x))[LOW] == [0, 1]
    assert left_out(differential(trim_low=0, trim_high=0.2).score(x))[HIGH] == [8, 9]


def test_among_equal_nll_drops_the_earlier_is_lower() -> None:
    out = left_out(differential(trim_low=0.25, trim_high=0.25).score(measured(np.zeros(8))))
    assert (out[LOW], out[HIGH]) == ([0, 1], [6, 7])


def test_quantiles_keep_their_own_bounds() -> None:
    x = measured(np.arange(11))  # quantiles 0.1 and 0.9 are the values 1 and 9
    out = left_out(differential(trim_rule="quantile").score(x))
    assert (out[LOW], out[HIGH]) == ([0], [10])
    equal = differential(trim_rule="quantile").score(measured(np.zeros(8)))
    assert left_out(equal)[LOW] == left_out(equal)[HIGH] == []


def test_tails_are_shares_of_the_usable_samples() -> None:
    over = np.arange(20) >= 10
    out = left_out(differential().score(measured(np.arange(20), base_over_long=over)))
    assert (out[LOW], out[HIGH]) == ([0], [9])


def test_a_pool_of_one_keeps_its_sample() -> None:
    for rule in ("count", "quantile"):
        assert np.isfinite(differential(trim_rule=rule).score(measured([1.0])).value).all()


def test_short_long_and_broken_samples_have_one_reason_each() -> None:
    n_tokens = np.full(12, 8)
    n_tokens[[1, 2]] = 3
    base_nll = np.arange(12) + 5.0
    base_nll[[2, 3]] = np.nan
    base_nll[4] = np.inf
    long = np.arange(12) == 2
    x = measured(np.arange(12), base_n_tokens=n_tokens, base_nll=base_nll)
    x["calibrated_over_long"] = long
    x["calibrated_nll"][4] = np.inf
    out = left_out(differential(min_tokens=4, trim_low=0, trim_high=0).score(x))
    assert out == {
        "longer than the token limit": [2],
        "fewer response tokens than min_tokens": [1],
        "the two models cut the response into other tokens": [],
        "a measurement is not a number": [3, 4],
        LOW: [],
        HIGH: [],
    }


def test_a_pool_of_nothing_but_broken_samples_is_all_excluded() -> None:
    for rule in ("count", "quantile"):
        scores = differential(trim_rule=rule).score(measured(np.full(4, np.nan)))
        assert np.isnan(scores.value).all()
        assert set(scores.reasons()) == {"a measurement is not a number"}


def test_samples_used_for_calibration_are_left_out_on_request() -> None:
    used = np.arange(10) < 3
    x = measured(np.arange(10), calibrated_in_warm_up=used)
    kept = differential(trim_low=0, trim_high=0).score(x)
    assert np.isfinite(kept.value).all()
    out = left_out(differential(exclude_warm_up=True, trim_low=0, trim_high=0).score(x))
    assert out["used for calibration"] == [0, 1, 2]


def test_a_tuned_model_may_stand_in_for_the_warm_up() -> None:
    signal = differential(calibrated="org/tuned").needs()["calibrated"]
    assert (signal.model, signal.warm_up, signal.checkpoint) == ("org/tuned", None, "calibrated")
    x = measured(np.arange(10))
    del x["calibrated_in_warm_up"]
    scores = differential(calibrated="org/tuned", exclude_warm_up=True).score(x)
    assert np.isfinite(scores.value).sum() == 8


def test_models_with_different_vocabularies_are_refused() -> None:
    x = measured(np.arange(10), base_vocabulary=np.full(10, 49152))
    with pytest.raises(MethodError, match=r"different vocabularies. Got '49,152 and 49,153'"):
        differential().score(x | {"calibrated_vocabulary": np.full(10, 49153)})
    differential().score(x | {"calibrated_vocabulary": np.full(10, 49152)})


def test_samples_that_the_two_models_cut_differently_are_left_out() -> None:
    other = np.full(10, 8)
    other[4] = 9
    x = measured(np.arange(10), calibrated_n_tokens=other)
    out = left_out(differential(trim_low=0, trim_high=0).score(x))
    assert out["the two models cut the response into other tokens"] == [4]


def test_ties_keep_pool_order_or_the_authors() -> None:
    x = measured([3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 0.0])
    params = {"trim_low": 0, "trim_high": 0}
    value = differential(**params).score(x).value
    assert np.argsort(-value, kind="stable").tolist() == [3, 0, 1, 2]
    ranked = differential(ties="nll_drop", **params).score(x).value
    assert ranked.tolist() == [-3, -1, -2, 0]


def test_knobs_that_need_no_model_are_live_and_the_others_are_not() -> None:
    method = differential()
    live = {
        "trim_low": 0.3,
        "trim_high": 0,
        "trim_rule": "quantile",
        "min_tokens": 9,
        "exclude_warm_up": True,
        "ties": "nll_drop",
    }
    for name in type(method).model_fields:
        if name in live:
            assert method.is_live({name: live[name]}), name
    assert method.is_live(live)
    for name, value in {
        "seed": 1,
        "warm_up_fraction": 0.5,
        "warm_up_epochs": 1,
        "warm_up_learning_rate": 1e-4,
        "warm_up_batch": 4,
        "warm_up_adapter": "lora",
        "text": "alpaca",
    }.items():
        assert not method.is_live({name: value}), name
    assert method.is_live({"seed": 42})
