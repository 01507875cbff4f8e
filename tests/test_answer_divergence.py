"""What holds for answer divergence, against loops over unit vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from core.domain import Sample, Scores, Turn
from core.engines import Engine
from core.engines.fake import FakeEngine
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.pooling import cosines
from core.errors import MethodError
from core.methods import build
from core.methods.answer_divergence import AnswerDivergence, instruction_bins
from core.methods.spread import dispersion_anisotropy, spectrum
from core.models import Checkpoint

CLOSE = {"rtol": 0, "atol": 1e-11}  # norms are over their length + 1e-12
FEW = "fewer answers with content than min_answers"


def measured(
    method: AnswerDivergence, samples: Sequence[Sample], engine: Engine, max_tokens: int = 4096
) -> dict[str, np.ndarray]:
    """What a run hands to `reduce`, columns named as it names them."""
    x: dict[str, np.ndarray] = {}
    needs = method.needs()
    for name, signal in needs.items():
        given = needs["answers"].measure(samples, engine, max_tokens, {}) if signal.after else {}
        columns = signal.measure(samples, engine, max_tokens, given)
        x |= {f"{name}_{c}": a for c, a in columns.items()}
    x["id_hash"] = np.array([int(s.sample_id[:13], 16) for s in samples], np.int64)
    return x


def stored(x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As the store gives it back."""
    return {name: np.asarray(column, np.float64) for name, column in x.items()}


@pytest.fixture(scope="module")
def method() -> AnswerDivergence:
    return AnswerDivergence(bins=6, bin_vectors="content")


@pytest.fixture(scope="module")
def x(method: AnswerDivergence, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """The fake engine's answers; some are over-long, some have few answers with content."""
    out = measured(method, samples, FakeEngine(), max_tokens=25)
    gram, filled = out["vectors_gram"], out["vectors_filled"]
    for row, empty in ((3, [0, 2]), (8, [0, 1, 2, 3]), (9, range(5)), (12, [4])):
        for j in empty:
            filled[row, j], gram[row, j], gram[row, :, j] = row == 12, 0, 0
    assert 0 < out["answers_over_long"].sum() < 10
    return out


def clouds(k: int, n: int = 200, d: int = 6) -> np.ndarray:
    """Unit vectors (n, k, d): wide and narrow clouds, lines, pairs, copies."""
    rng = np.random.default_rng(k)
    v = rng.normal(size=(n, 1, d)) + rng.normal(size=(n, k, d)) * rng.gamma(0.5, 1, (n, 1, d))
    v[::10] = v[::10, :1]
    v[1::10, 1:] = v[1::10, :1]
    v[2::10, k // 2 :] *= -1
    return v / np.linalg.norm(v, axis=2, keepdims=True)


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_numbers_are_those_of_distances_and_singular_values(k: int) -> None:
    u = clouds(k)
    counted = np.random.default_rng(1).random(u.shape[:2]) < 0.8
    found = spectrum(cosines(u), counted)
    c = counted.sum(1)
    d, i = dispersion_anisotropy(found["eigenvalues"], c)
    for row in range(len(u)):
        cloud = u[row, counted[row]]
        if len(cloud) < 2:
            assert (d[row], i[row]) == (0, 0)
            continue
        gaps = ((cloud - cloud.mean(0)) ** 2).sum(1)
        np.testing.assert_allclose(d[row], gaps.mean(), **CLOSE)
        main = np.linalg.svd(cloud - cloud.mean(0), compute_uv=False)[0] ** 2
        apart = gaps.sum() > 1e-12
        wanted = max(0, 1 - main / gaps.sum()) if apart else 0
        np.testing.assert_allclose(i[row], wanted, rtol=0, atol=1e-9)
        pairs = (cloud @ cloud.T)[np.triu_indices(len(cloud), 1)]
        np.testing.assert_allclose(found["mean_cosine"][row], pairs.mean(), atol=1e-11)
        if len(cloud) > 2 and apart:
            rest = [np.delete(cloud, j, 0) for j in range(len(cloud))]
            moved = [((r - r.mean(0)) ** 2).sum(1).mean() for r in rest]
            change = max(abs(gaps.mean() - m) for m in moved) / gaps.mean()
            np.testing.assert_allclose(found["instability"][row], change, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_dispersion_and_anisotropy_stay_within_their_bounds(k: int) -> None:
    found = spectrum(cosines(clouds(k)), np.ones((200, k), bool))
    d, i = dispersion_anisotropy(found["eigenvalues"], np.full(200, k))
    assert d.min() == 0
    assert d.max() <= 1
    assert i.min() >= 0
    assert i.max() <= 1 - 1 / (k - 1) + 1e-12
    assert (np.diff(found["eigenvalues"], axis=1) <= 0).all()
    assert (found["spectral_entropy"] <= 1).all()
    opposite = cosines(np.array([[[1.0, 0]] * k + [[-1.0, 0]] * k]))
    all_over = spectrum(opposite, np.ones((1, 2 * k), bool))["eigenvalues"]
    np.testing.assert_allclose(dispersion_anisotropy(all_over, np.array([2 * k]))[0], 1)


def test_equal_answers_do_not_diverge() -> None:
    u = np.repeat(np.random.default_rng(0).normal(size=(50, 1, 600)), 5, axis=1)
    found = spectrum(cosines(u), np.ones((50, 5), bool))
    d, i = dispersion_anisotropy(found["eigenvalues"], np.full(50, 5))
    assert not d.any()
    assert not i.any()
    assert not found["instability"].any()


def test_more_divergent_answers_come_first(method: AnswerDivergence, x: Any) -> None:
    scores = method.score(method.reduce(x))
    shown = scores.diagnostics
    value = 0.6 * shown["dispersion"] + 0.4 * shown["anisotropy"]
    kept = np.isfinite(scores.value)
    np.testing.assert_array_equal(scores.value[kept], value[kept])
    assert np.ptp(value[kept]) > 0.1


def test_answers_without_content_are_no_points_of_the_cloud(
    method: AnswerDivergence, x: Any
) -> None:
    shown = method.score(method.reduce(x)).diagnostics
    for row, left in ((3, [1, 3, 4]), (12, [0, 1, 2, 3])):
        gram = x["vectors_gram"][row][np.ix_(left, left)][None]
        alone = spectrum(gram, np.ones((1, len(left)), bool))
        d, i = dispersion_anisotropy(alone["eigenvalues"], np.array([len(left)]))
        np.testing.assert_allclose(shown["dispersion"][row], d[0], **CLOSE)
        np.testing.assert_allclose(shown["anisotropy"][row], i[0], **CLOSE)
        assert shown["n_answers"][row] == len(left)


def test_what_cannot_be_scored_has_its_reason(method: AnswerDivergence, x: Any) -> None:
    reduced = method.reduce(x)
    over = np.flatnonzero(x["answers_over_long"]).tolist()
    for least, few in ((2, {8, 9}), (4, {3, 8, 9}), (6, set(range(40)))):
        scores = method.with_params({"min_answers": least}).score(reduced)
        left_out = {why: np.flatnonzero(mask).tolist() for why, mask in scores.excluded.items()}
        assert left_out["longer than the token limit"] == over
        assert left_out[FEW] == sorted(few - set(over))
        assert np.isnan(scores.value).tolist() == [r is not None for r in scores.reasons()]


def same(a: Scores, b: Scores, order: Any = slice(None)) -> None:
    np.testing.assert_array_equal(a.value, b.value[order])
    assert a.group is not None
    assert b.group is not None
    np.testing.assert_array_equal(a.group, b.group[order])
    assert a.reasons() == np.array(b.reasons(), object)[order].tolist()


@pytest.mark.parametrize("mixing", ["raw", "rank", "z"])
def test_the_order_of_the_pool_and_the_store_change_nothing(
    method: AnswerDivergence, x: dict[str, np.ndarray], mixing: str
) -> None:
    chosen = method.with_params({"mixing": mixing})
    usual = chosen.score(chosen.reduce(x))
    same(chosen.score(stored(chosen.reduce(x))), usual)
    order = np.random.default_rng(2).permutation(len(x["id_hash"]))
    mixed = chosen.reduce({name: column[order] for name, column in x.items()})
    same(chosen.score(mixed), usual, order)


def test_levelled_mixing_gives_both_their_say() -> None:
    # dispersions 0, .01, .02 and anisotropies .5, .9, .1: raw, the second alone decides
    totals, shares = np.array([0.02, 0.04, 0.06]), np.array([0.4, 0.1, 0.7])
    found = np.stack([totals * shares, totals * (1 - shares)], 1)
    x = dict.fromkeys(AnswerDivergence().score(_one()).diagnostics, np.zeros(3))
    x |= {"eigenvalues": found, "n_answers": np.full(3, 2), "over_long": np.zeros(3)}
    x["bin"] = np.zeros(3)
    orders = {
        m: np.argsort(-AnswerDivergence(mixing=m, weight=0.3).score(x).value).tolist()
        for m in ("raw", "rank", "z")
    }
    assert orders == {"raw": [1, 0, 2], "rank": [2, 1, 0], "z": [2, 1, 0]}
    ranks = AnswerDivergence(mixing="rank", weight=0.25).score(x).value
    np.testing.assert_allclose(ranks, [0.125, 0.625, 0.75], **CLOSE)


def _one() -> dict[str, np.ndarray]:
    method = AnswerDivergence(bin_vectors="content")
    sample = Sample((Turn("user", "Hi"), Turn("assistant", "Yes")), "t")
    return dict(method.reduce(measured(method, [sample], FakeEngine())))


def test_one_sample_and_none_have_scores_in_every_mixing(
    method: AnswerDivergence, x: dict[str, np.ndarray]
) -> None:
    for mixing in ("raw", "rank", "z"):
        chosen = method.with_params({"mixing": mixing})
        assert np.isfinite(chosen.score(_one()).value).tolist() == [True]
        none = {name: column[:0] for name, column in x.items()}
        assert chosen.score(chosen.reduce(none)).value.shape == (0,)


def test_what_is_kept_of_a_sample_is_small_and_whole(
    method: AnswerDivergence, x: dict[str, np.ndarray]
) -> None:
    reduced = method.reduce(x)
    n, k = len(x["id_hash"]), method.k
    assert reduced["cosines"].shape == (n, k * k)
    assert reduced["cosines"].dtype == np.float32
    np.testing.assert_allclose(reduced["cosines"].reshape(n, k, k), x["vectors_gram"], atol=1e-6)
    assert all(column.shape in ((n,), (n, k), (n, k * k)) for column in reduced.values())
    shown = method.score(reduced).diagnostics
    assert not any(np.isinf(column).any() for column in shown.values())
    assert {c.dtype for c in shown.values()} == {np.dtype(np.float64)}


def test_similar_instructions_share_a_bin() -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(5, 12))
    truth = rng.integers(0, 5, 400)
    vectors = (centres[truth] + 0.05 * rng.normal(size=(400, 12))).astype(np.float32)
    found = instruction_bins(vectors, rng.permutation(400), 5, 42)
    assert len(np.unique(found)) == 5
    assert all(len(np.unique(found[truth == c])) == 1 for c in range(5))


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_there_are_no_more_bins_than_different_instructions(n: int) -> None:
    vectors = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    twice = np.concatenate([vectors, vectors])
    found = instruction_bins(twice, np.arange(2 * n), 1000, 42)
    assert len(np.unique(found)) <= n
    np.testing.assert_array_equal(found[:n], found[n:])
    assert found.dtype == np.int64


def test_only_what_needs_no_model_and_no_bins_is_live(method: AnswerDivergence) -> None:
    live = {"weight": 0.9, "mixing": "z", "min_answers": 4}
    for name, field in AnswerDivergence.model_fields.items():
        other: Any = {"span": "full", "layers": "-1", "bin_vectors": "sentence"}.get(name)
        other = other or (0.5 if field.annotation is float else 3)
        assert method.is_live({name: live.get(name, other)}) is (name in live), name


def test_layers_that_are_no_choice_are_refused() -> None:
    for wrong in ("-5", "", "-4,-3,-2 ", [-1]):
        with pytest.raises(MethodError, match=r"answer_divergence\.layers"):
            build("answer_divergence", {"layers": wrong})


@pytest.mark.model
def test_the_embedded_model_answers_in_english_and_within_bounds(embedded: Checkpoint) -> None:
    method = AnswerDivergence(k=3, temperature=0.3, max_new_tokens=12, bin_vectors="content")
    asked = {"How do plants make food?": "Plants make food", "Name three primary colours.": "colo"}
    pool = [Sample((Turn("user", a), Turn("assistant", "x")), "t") for a in asked]
    engine = HFEngine(embedded, Precision("cpu", "fp32"))
    answers = method.needs()["answers"]
    said = answers.measure(pool, engine, 4096, {})["text"]
    np.testing.assert_array_equal(answers.measure(pool, engine, 4096, {})["text"], said)
    for texts, words in zip(said, asked.values(), strict=True):
        for text in map(bytes.decode, texts):
            assert words in text
            assert text.isascii()
            assert "<|" not in text
    scores = method.score(method.reduce(measured(method, pool, engine)))
    d, i = scores.diagnostics["dispersion"], scores.diagnostics["anisotropy"]
    assert (scores.diagnostics["n_answers"] == 3).all()
    assert ((d > 1e-5) & (d < 1)).all()
    assert ((i >= 0) & (i <= 0.5)).all()
    np.testing.assert_allclose(d, 2 / 3 * (1 - scores.diagnostics["mean_cosine"]), atol=1e-9)
    np.testing.assert_array_equal(scores.value, 0.6 * d + 0.4 * i)
