"""What holds for every method, and what holds for differential entropy alone."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, get_origin

import numpy as np
import pytest

from core.config import ROOT
from core.domain import Scores
from core.errors import MethodError
from core.methods import Method, build, catalogue
from core.policies import POLICIES
from core.signals import TokenStats

NAMES = sorted(catalogue())


def inputs(method: Method, n: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    """Invented measurements without ties, some of them unusable, for whatever a method needs."""
    rng = np.random.default_rng(seed)
    x: dict[str, np.ndarray] = {}
    for name, signal in method.needs().items():
        assert isinstance(signal, TokenStats), f"teach this test to invent a {type(signal)}"
        x[f"{name}_nll"] = rng.gamma(2, 1, n)
        x[f"{name}_entropy"] = rng.gamma(2, 1, n)
        x[f"{name}_n_tokens"] = np.arange(n) % 9 + 1
        x[f"{name}_over_long"] = np.arange(n) % 19 == 3
        x[f"{name}_nll"][[5, 3]] = np.nan  # 3 is over-long as well
        if signal.warm_up is not None:
            x[f"{name}_in_warm_up"] = np.arange(n) % 10 == 0
    return x


def subset(x: Mapping[str, np.ndarray], rows: Any) -> dict[str, np.ndarray]:
    return {name: column[rows] for name, column in x.items()}


def same(a: Scores, b: Scores) -> None:
    np.testing.assert_array_equal(a.value, b.value)
    assert (a.group is None) == (b.group is None)
    if a.group is not None and b.group is not None:
        np.testing.assert_array_equal(a.group, b.group)
    assert a.reasons() == b.reasons()


def digest(scores: Scores) -> str:
    return hashlib.sha256(scores.value.tobytes() + repr(scores.reasons()).encode()).hexdigest()


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest) -> Method:
    return build(request.param)


def test_every_sample_has_one_number_or_a_reason(method: Method) -> None:
    scores = method.score(inputs(method))
    assert scores.value.shape == (60,)
    assert scores.value.dtype == np.float64
    assert [reason is not None for reason in scores.reasons()] == np.isnan(scores.value).tolist()
    assert all(mask.shape == (60,) and mask.dtype == bool for mask in scores.excluded.values())
    assert all(len(reason) > 3 for reason in scores.excluded)
    assert scores.group is None or (scores.group.shape, scores.group.dtype) == ((60,), np.int64)
    for column in scores.diagnostics.values():
        assert (column.shape, column.dtype) == ((60,), np.float64)


def test_the_same_measurements_give_the_same_scores_and_stay_as_they_are(method: Method) -> None:
    x = inputs(method)
    before = {name: column.copy() for name, column in x.items()}
    for column in x.values():
        column.flags.writeable = False
    first = method.score(x)
    for name, column in x.items():
        np.testing.assert_array_equal(column, before[name])
    same(first, method.score(x))


def test_the_order_of_the_pool_permutes_the_scores(method: Method) -> None:
    x = inputs(method)
    order = np.random.default_rng(1).permutation(60)
    straight, mixed = method.score(x), method.score(subset(x, order))
    np.testing.assert_array_equal(mixed.value, straight.value[order])
    assert mixed.reasons() == [straight.reasons()[k] for k in order]


def test_pointwise_methods_score_a_sample_the_same_alone(method: Method) -> None:
    if method.pointwise:
        x = inputs(method)
        whole = method.score(x).value
        for row in range(0, 60, 7):
            alone = method.score(subset(x, [row])).value
            np.testing.assert_array_equal(alone, whole[row : row + 1])


def test_scores_come_again_from_the_stored_diagnostics(method: Method) -> None:
    scores = method.score(inputs(method))
    same(scores, method.score(scores.diagnostics))


def test_an_empty_pool_has_no_scores(method: Method) -> None:
    scores = method.score(subset(inputs(method), slice(0)))
    assert scores.value.shape == (0,)
    assert scores.reasons() == []


def test_the_seed_of_pythons_hashes_does_not_matter(method: Method) -> None:
    code = (
        "import sys; from test_methods import *; m = build(sys.argv[1]);"
        "print(digest(m.score(inputs(m))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, method.name],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {digest(method.score(inputs(method)))}


def test_the_card_is_complete(method: Method) -> None:
    cls = type(method)
    assert cls.__module__ == f"core.methods.{cls.name}"
    assert all(isinstance(getattr(cls, a), str) for a in ("name", "title", "paper", "policy"))
    assert "arXiv" in cls.paper
    assert cls.policy in POLICIES
    assert isinstance(cls.pointwise, bool)
    assert cls.version >= 1
    assert cls.__doc__
    assert cls.score.__doc__


def test_every_parameter_is_described_bounded_and_valid_by_default(method: Method) -> None:
    for name, field in type(method).model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
        if field.annotation in (int, float):
            bounds = {type(m).__name__ for m in field.metadata}
            assert bounds & {"Ge", "Gt"}, f"{name} has no lower bound"
            assert bounds & {"Le", "Lt"}, f"{name} has no upper bound"
        else:
            assert field.annotation is bool or get_origin(field.annotation) is not None, name
    assert method.with_params(method.model_dump()) == method


def one_sentence_about(error: MethodError, where: str) -> None:
    text = str(error)
    assert text.startswith(f"{where}: ")
    assert "\n" not in text
    assert "pydantic" not in text


def test_every_bound_is_kept_with_one_sentence(method: Method) -> None:
    for name, field in type(method).model_fields.items():
        wrong: list[Any] = ["no such thing", None, [1]]
        if field.annotation in (int, float):
            wrong += [float("nan"), float("inf"), -1e30, 1e30]
        for value in wrong:
            with pytest.raises(MethodError) as caught:
                build(method.name, {name: value})
            one_sentence_about(caught.value, f"{method.name}.{name}")
            assert "Got" in str(caught.value)
            assert str(field.description).split()[0] in str(caught.value)


def test_an_unknown_parameter_gets_the_list_of_those_there_are(method: Method) -> None:
    for call in (lambda p: build(method.name, p), method.with_params, method.is_live):
        with pytest.raises(MethodError) as caught:
            call({"nonsense": 1})
        one_sentence_about(caught.value, f"{method.name}.nonsense")
        assert all(name in str(caught.value) for name in type(method).model_fields)


def test_an_unknown_method_gets_the_list_of_those_there_are() -> None:
    with pytest.raises(MethodError) as caught:
        build("nonsense")
    one_sentence_about(caught.value, "method")
    assert all(name in str(caught.value) for name in NAMES)


def test_parameters_may_come_as_text_from_a_command_line(method: Method) -> None:
    as_text = {name: str(value) for name, value in method.model_dump().items()}
    assert build(method.name, as_text) == method


def test_methods_cannot_be_changed_in_place(method: Method) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(method, next(iter(type(method).model_fields)), 1)


def test_every_method_has_a_row_in_the_readme(method: Method) -> None:
    readme = ROOT / "README.md"
    rows = [line for line in readme.read_text("utf8").splitlines() if line.startswith("| `")]
    assert any(row.startswith(f"| `{method.name}` |") for row in rows)


# differential entropy


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
