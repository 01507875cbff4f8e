"""Lines of equal divergence, against the score itself."""

import numpy as np
import pytest

from core import iso_lines
from core.methods.answer_divergence import AnswerDivergence, mixed


@pytest.mark.parametrize("mixing", ["raw", "rank", "z"])
@pytest.mark.parametrize("weight", [0, 0.2, 0.5, 0.8, 1])
def test_the_score_along_an_iso_line_is_the_one_asked_for(mixing, weight):
    rng = np.random.default_rng(0)
    d, i = rng.random(300) / 10, rng.random(300) / 2 + 0.3
    usable = np.ones(300, bool)
    f, g = mixed(d, usable, mixing), mixed(i, usable, mixing)
    at = float(np.median((1 - weight) * f + weight * g))
    x, y = iso_lines.iso_line(d, f, i, g, weight, at)
    assert len(x) > 5
    order, other = np.argsort(d), np.argsort(i)
    score = (1 - weight) * np.interp(x, d[order], f[order])
    score += weight * np.interp(y, i[other], g[other])
    np.testing.assert_allclose(score, at, atol=1e-6)


def test_there_is_no_iso_line_through_one_sample_or_beyond_all():
    one = np.array([0.5])
    assert len(iso_lines.iso_line(one, one, one, one, 0.4, 0.5)[0]) == 0
    two = np.array([0.0, 1.0])
    assert len(iso_lines.iso_line(two, two, two, two, 0.4, 7.0)[0]) == 0


@pytest.mark.parametrize("mixing", ["raw", "rank", "z"])
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_score_under_a_weight_is_the_methods_own(mixing, weight):
    rng = np.random.default_rng(1)
    n, k = 50, 4
    found = np.sort(rng.random((n, k)), axis=1)[:, ::-1] / 10
    found[:, -1] = 0
    x = {
        "eigenvalues": found,
        "n_answers": np.where(np.arange(n) % 7, k, 1),
        "over_long": np.arange(n) % 11 == 5,
        "bin": np.zeros(n),
    }
    shown = ("spectral_entropy", "top_share", "mean_cosine", "eigenvalue_ratio", "instability")
    x |= {name: np.zeros(n) for name in (*shown, "answer_tokens", "answers_ended")}
    scores = AnswerDivergence(weight=weight, mixing=mixing).score(x)
    d, i = scores.diagnostics["dispersion"], scores.diagnostics["anisotropy"]
    usable = np.isfinite(scores.value)
    value, _ = iso_lines.weighted(d, i, usable, weight, mixing)
    np.testing.assert_allclose(value, scores.value, equal_nan=True)


def test_each_line_leaves_its_share_of_the_samples_above_it():
    rng = np.random.default_rng(2)
    d, i = rng.random(2000) / 10, rng.random(2000)
    usable = rng.random(2000) < 0.9
    value, lines = iso_lines.weighted(d, i, usable, 0.4, "raw")
    for line in lines:
        at = 0.6 * line.dispersion[0] + 0.4 * line.anisotropy[0]
        assert np.mean(value[usable] >= at) == pytest.approx(line.share, abs=0.002)


def test_without_a_usable_sample_there_is_no_line():
    none = np.zeros(3, bool)
    value, lines = iso_lines.weighted(np.ones(3), np.ones(3), none, 0.4, "z")
    assert np.isnan(value).all()
    assert lines == ()
