"""What holds for every method."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_origin

import numpy as np
import pytest
from numpy.typing import NDArray

from core.config import ROOT
from core.domain import Sample, Scores, Turn
from core.engines.fake import FakeEngine
from core.errors import MethodError
from core.methods import Method, build, catalogue
from core.policies import catalogue as policies
from core.signals import Signal

NAMES = [name for name, cls in catalogue().items() if cls.measures]
MANY, QUERIES = 60, 7


def invented(n: int, of: str) -> list[Sample]:
    """Samples of three sources; every fifth is multiple choice, one has no response."""
    out = []
    for k in range(n):
        meta = {"options": '{"A": "1", "B": "2", "C": "3", "D": "4"}', "answer_idx": "ABCD"[k % 4]}
        said = "" if k == 7 else f"{'ABCD'[k % 4]}. because" + " word" * (k % 9)
        turns = (Turn("user", f"{of} question {k}"), Turn("assistant", said))
        out.append(Sample(turns, f"source {k % 3}", meta=meta if k % 5 == 0 else {}))
    return out


def measured(signal: Signal, n: int) -> dict[str, NDArray[Any]]:
    """What the fake engine says of invented samples; some are over-long or not a number."""
    batch = invented(QUERIES if signal.on == "query" else n, signal.on)
    engine = FakeEngine(f"{signal.model}{signal.warm_up}{signal.step}")
    given = signal.after.measure(batch, engine, 4096, {}) if signal.after else {}
    x = dict(signal.measure(batch, engine, 4096, given))
    if signal.on == "pool":
        for name in ("over_long", "nll", "entropy"):
            if name in x:
                x[name] = x[name].copy()
        if "over_long" in x:
            x["over_long"][3::19] = True
        for name in ("nll", "entropy"):
            if name in x:
                x[name][[3, 5]] = np.nan
    return x


def inputs(method: Method, n: int = MANY, seed: int = 0) -> dict[str, np.ndarray]:
    """Invented measurements, some of them unusable, for whatever a method needs."""
    rng = np.random.default_rng(seed)
    x: dict[str, np.ndarray] = {"id_hash": rng.integers(0, 2**52, n), "n_chars": np.arange(n) % 50}
    x["n_tokens"] = np.arange(n) % 9 + 1
    for name, signal in method.needs().items():
        x |= {f"{name}_{column}": array for column, array in measured(signal, n).items()}
        if signal.warm_up is not None:
            x[f"{name}_in_warm_up"] = np.arange(n) % 10 == 0
            x[f"{name}_rate"] = np.array([1e-5 / (2 + signal.step)])
    return x


def scored(method: Method, x: Mapping[str, np.ndarray]) -> Scores:
    """What a run does with measurements."""
    reduced = method.reduce(x)
    scores = method.score(reduced)
    return replace(scores, diagnostics={**reduced, **scores.diagnostics})


def subset(method: Method, x: Mapping[str, np.ndarray], rows: Any) -> dict[str, np.ndarray]:
    """The measurements of some samples; those of the queries stay."""
    still = {f"{name}_rate" for name in method.needs()}
    for name, signal in method.needs().items():
        if signal.on == "query":
            still |= {column for column in x if column.startswith(f"{name}_")}
    return {name: column if name in still else column[rows] for name, column in x.items()}


def stored(scores: Scores) -> dict[str, np.ndarray]:
    """The diagnostics as the store gives them back."""
    return {
        name: np.asarray(c, np.float64) if c.ndim == 1 or c.dtype != np.float32 else c
        for name, c in scores.diagnostics.items()
    }


def same(a: Scores, b: Scores) -> None:
    np.testing.assert_array_equal(a.value, b.value)
    assert (a.group is None) == (b.group is None)
    if a.group is not None and b.group is not None:
        np.testing.assert_array_equal(a.group, b.group)
    if a.similarity is not None and b.similarity is not None:
        np.testing.assert_array_equal(a.similarity, b.similarity)
    assert a.reasons() == b.reasons()


def digest(scores: Scores) -> str:
    return hashlib.sha256(scores.value.tobytes() + repr(scores.reasons()).encode()).hexdigest()


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest) -> Method:
    return build(request.param)


def test_every_sample_has_one_number_or_a_reason(method: Method) -> None:
    scores = scored(method, inputs(method))
    assert scores.value.shape == (60,)
    assert scores.value.dtype == np.float64
    assert [reason is not None for reason in scores.reasons()] == np.isnan(scores.value).tolist()
    assert all(mask.shape == (60,) and mask.dtype == bool for mask in scores.excluded.values())
    assert all(len(reason) > 3 for reason in scores.excluded)
    assert scores.group is None or (scores.group.shape, scores.group.dtype) == ((60,), np.int64)
    assert scores.similarity is None or scores.similarity.shape == (60, QUERIES)
    for name, column in scores.diagnostics.items():
        assert len(column) == 60, name
        assert column.ndim in (1, 2), name
        assert column.dtype.kind in "fiub", name


def test_the_same_measurements_give_the_same_scores_and_stay_as_they_are(method: Method) -> None:
    x = inputs(method)
    before = {name: column.copy() for name, column in x.items()}
    for column in x.values():
        column.flags.writeable = False
    first = scored(method, x)
    for name, column in x.items():
        np.testing.assert_array_equal(column, before[name])
    same(first, scored(method, x))


def test_the_order_of_the_pool_permutes_the_scores(method: Method) -> None:
    x = inputs(method)
    order = np.random.default_rng(1).permutation(60)
    straight, mixed = scored(method, x), scored(method, subset(method, x, order))
    np.testing.assert_array_equal(mixed.value, straight.value[order])
    if straight.group is not None and mixed.group is not None:
        np.testing.assert_array_equal(mixed.group, straight.group[order])
    assert mixed.reasons() == [straight.reasons()[k] for k in order]


def test_pointwise_methods_score_a_sample_the_same_alone(method: Method) -> None:
    if method.pointwise:
        x = inputs(method)
        whole = scored(method, x).value
        for row in range(0, 60, 7):
            alone = scored(method, subset(method, x, [row])).value
            np.testing.assert_array_equal(alone, whole[row : row + 1])


def test_scores_come_again_from_the_stored_diagnostics(method: Method) -> None:
    scores = scored(method, inputs(method))
    same(scores, method.score(stored(scores)))


def test_the_columns_for_the_list_are_there(method: Method) -> None:
    held = {"n_tokens", "n_chars", *scored(method, inputs(method)).diagnostics}
    assert set(type(method).columns) <= held


def test_one_sample_has_a_score_or_a_reason(method: Method) -> None:
    x = inputs(method)
    for row in range(12):
        scores = scored(method, subset(method, x, [row]))
        assert np.isnan(scores.value).tolist() == [scores.reasons()[0] is not None]


def test_an_empty_pool_has_no_scores(method: Method) -> None:
    scores = scored(method, subset(method, inputs(method), slice(0)))
    assert scores.value.shape == (0,)
    assert scores.reasons() == []


def test_the_seed_of_pythons_hashes_does_not_matter(method: Method) -> None:
    code = (
        "import sys; from test_methods import *; m = build(sys.argv[1]);"
        "print(digest(scored(m, inputs(m))))"
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
    assert found == {digest(scored(method, inputs(method)))}


def test_the_card_is_complete(method: Method) -> None:
    cls = type(method)
    assert cls.__module__ == f"core.methods.{cls.name}"
    assert all(isinstance(getattr(cls, a), str) for a in ("name", "title", "paper", "policy"))
    assert "arXiv" in cls.paper or cls.baseline
    assert cls.policy in policies()
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
        elif field.annotation is str:
            assert any(type(m).__name__ == "MaxLen" for m in field.metadata), f"{name} is endless"
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
        if field.annotation is str:
            wrong = [None, [1], "x" * 10_000]
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
