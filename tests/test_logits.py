"""The one-pass reduction of logits against the obvious softmax in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import full_softmax

from core.engines.logits import VOCAB, Head, nll_entropy


def reduced(z: np.ndarray, y: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    parts = torch.from_numpy(z).split(block, 1)
    nll, entropy = nll_entropy(parts, torch.from_numpy(y))
    return nll.double().numpy(), entropy.double().numpy()


def check(z: np.ndarray, y: np.ndarray, block: int) -> None:
    nll, entropy = reduced(z, y, block)
    right_nll, right_entropy = full_softmax(z, y)
    np.testing.assert_allclose(nll, right_nll, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(entropy, right_entropy, rtol=1e-5, atol=2e-6)


def draw(
    seed: int, rows: int, vocabulary: int, scale: float, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = scale * rng.standard_normal((rows, vocabulary)) + offset
    return z.astype(np.float32), rng.integers(0, vocabulary, rows)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 6),
    vocabulary=st.integers(1, 70),
    block=st.integers(1, 80),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4]),
    offset=st.sampled_from([0.0, -500.0, 1e4]),
)
def test_blocks_of_any_size_give_the_full_softmax(
    seed: int, rows: int, vocabulary: int, block: int, scale: float, offset: float
) -> None:
    check(*draw(seed, rows, vocabulary, scale, offset), block)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), block=st.integers(1, 30), share=st.floats(0.1, 0.95))
def test_impossible_tokens_count_as_probability_zero(seed: int, block: int, share: float) -> None:
    z, y = draw(seed, 5, 24, 5.0)
    masked = np.random.default_rng(seed).random(z.shape) < share
    masked[np.arange(5), (y + 1) % 24] = False  # something must be possible
    z[masked] = -np.inf
    check(z, y, block)  # a token of probability 0 has an NLL of inf


@pytest.mark.parametrize("vocabulary", [VOCAB - 1, VOCAB, VOCAB + 1, 3 * VOCAB + 17])
def test_vocabularies_that_are_no_multiple_of_the_block(vocabulary: int) -> None:
    check(*draw(3, 40, vocabulary, 4.0), VOCAB)


def test_constant_rows_have_the_entropy_of_the_uniform_distribution() -> None:
    z, y = np.full((3, 5000), 7.5, np.float32), np.array([0, 2500, 4999])
    for got in reduced(z, y, VOCAB):
        np.testing.assert_allclose(got, np.log(5000), rtol=1e-6)


def test_a_sure_model_has_no_entropy_and_no_surprise() -> None:
    z = np.zeros((1, 100), np.float32)
    z[0, 42] = 9000.0
    nll, entropy = reduced(z, np.array([42]), 16)
    assert nll.tolist() == entropy.tolist() == [0.0]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_logits_that_overflowed_are_not_a_number(broken: float) -> None:
    z, y = draw(5, 4, 50, 1.0)
    z[2, 30] = broken
    for got in reduced(z, y, 16):
        assert np.isnan(got).tolist() == [False, False, True, False]


def test_the_callers_logits_are_left_alone() -> None:
    z, y = draw(5, 4, 50, 1.0)
    before = z.copy()
    reduced(z, y, 16)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_head_blocks_are_the_logits_of_the_head(bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    head = torch.nn.Linear(16, 2 * VOCAB + 5, bias=bias, dtype=dtype)
    hidden = torch.randn(9, 16, dtype=dtype)
    with torch.inference_mode():
        parts = list(Head(head.weight, head.bias).blocks(hidden))
        whole = head(hidden)
    assert [p.shape[1] for p in parts] == [VOCAB, VOCAB, 5]
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(torch.cat(parts, 1), whole, **tolerance)


def test_bfloat16_logits_are_reduced_in_float32() -> None:
    z = torch.from_numpy(draw(9, 30, 3000, 3.0)[0]).bfloat16()
    y = torch.arange(30)
    nll, entropy = nll_entropy(z.split(VOCAB, 1), y)
    right = full_softmax(z.float().numpy(), y.numpy())
    np.testing.assert_allclose(nll, right[0], rtol=1e-5)
    np.testing.assert_allclose(entropy, right[1], rtol=1e-5)
