"""The four baselines that every method must beat."""

from typing import Any

import numpy as np
import pytest
import tiny
from scipy import stats

from core.domain import Sample, Scores, Turn
from core.methods import build, catalogue
from core.methods.random import uniform
from core.templates import encode


def left_out(scores: Scores) -> dict[str, list[int]]:
    found = {why: np.flatnonzero(mask).tolist() for why, mask in scores.excluded.items()}
    return {why: rows for why, rows in found.items() if rows}


def stats_of(name: str, nll: Any, n_tokens: Any = 4, over_long: Any = False) -> dict[str, Any]:
    nll = np.asarray(nll, float)
    n = len(nll)
    return {
        f"{name}_nll": nll,
        f"{name}_entropy": np.zeros(n),
        f"{name}_n_tokens": np.broadcast_to(n_tokens, n),
        f"{name}_over_long": np.broadcast_to(over_long, n),
        "id_hash": np.arange(n),
        "n_chars": np.arange(n) * 10,
    }


def test_four_methods_are_baselines() -> None:
    found = {name for name, cls in catalogue().items() if cls.baseline}
    assert found == {"ifd", "length", "perplexity", "random"}


# random


def splitmix64(state: int) -> int:
    """The obvious version, in Python's own integers."""
    z = state % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_the_draw_is_splitmix64_of_seed_and_id() -> None:
    ids = np.random.default_rng(0).integers(0, 2**52, 50)
    for seed in (0, 42, 2**32 - 1):
        wanted = [splitmix64(int(i) + (seed + 1) * 0x9E3779B97F4A7C15) / 2**64 for i in ids]
        np.testing.assert_allclose(uniform(ids, seed), wanted, rtol=0, atol=2**-52)


def test_the_draw_is_uniform_and_seeds_are_unrelated() -> None:
    ids = np.arange(20_000)
    draw = uniform(ids, 1)
    assert stats.kstest(draw, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(draw, uniform(ids, 2))[0, 1]) < 0.03
    assert abs(np.corrcoef(draw[1:], draw[:-1])[0, 1]) < 0.03
    assert len(np.unique(draw)) == len(ids)
    assert ((draw >= 0) & (draw < 1)).all()


def test_a_random_score_needs_nothing_but_ids() -> None:
    method = build("random", {"seed": 7})
    assert method.needs() == {}
    scores = method.score({"id_hash": np.array([5, 1, 9])})
    assert scores.value.tolist() == uniform(np.array([5, 1, 9]), 7).tolist()
    assert method.is_live({"seed": 8})


# length


def test_characters_need_no_model_and_tokens_do() -> None:
    assert build("length").needs() == {}
    assert list(build("length", {"measure": "tokens"}).needs()) == ["base"]
    assert build("length").is_live({"order": "shortest"})
    assert not build("length").is_live({"measure": "tokens"})


@pytest.mark.parametrize(("order", "sign"), [("longest", 1), ("shortest", -1)])
def test_either_end_of_the_lengths_may_come_first(order: str, sign: int) -> None:
    x = stats_of("base", np.ones(3), [7, 9, 8], [False, True, False])
    by_chars = build("length", {"order": order}).score(x)
    assert by_chars.value.tolist() == [0, sign * 10, sign * 20]
    assert left_out(by_chars) == {}
    by_tokens = build("length", {"order": order, "measure": "tokens"}).score(x)
    np.testing.assert_array_equal(by_tokens.value, [sign * 7, np.nan, sign * 8])
    assert left_out(by_tokens) == {"longer than the token limit": [1]}
    assert by_tokens.diagnostics["n_tokens"].tolist() == [7, 9, 8]


# perplexity


def test_any_part_of_the_perplexities_may_come_first() -> None:
    x = stats_of("base", [1.0, 3.0, 2.0, 2.2, 9.0])
    orders = {
        order: np.argsort(-build("perplexity", {"order": order}).score(x).value).tolist()
        for order in ("high", "low", "middle")
    }
    assert orders == {"high": [4, 1, 3, 2, 0], "low": [0, 2, 3, 1, 4], "middle": [3, 2, 1, 0, 4]}
    high = build("perplexity").score(x)
    np.testing.assert_allclose(high.value, np.exp([1.0, 3.0, 2.0, 2.2, 9.0]))


@pytest.mark.parametrize("order", ["high", "low", "middle"])
def test_what_has_no_perplexity_is_left_out(order: str) -> None:
    x = stats_of("base", [np.nan, np.nan, 1.0, np.inf, 800.0], 4, [True] + [False] * 4)
    scores = build("perplexity", {"order": order}).score(x)
    assert left_out(scores) == {
        "longer than the token limit": [0],
        "the perplexity is not a number": [1, 3, 4],
    }
    assert np.isfinite(scores.value).tolist() == [False, False, True, False, False]
    nothing = build("perplexity", {"order": order}).score(stats_of("base", [np.nan]))
    assert np.isnan(nothing.value).all()


# instruction-following difficulty


def test_the_least_helpful_instructions_come_first_and_misleading_ones_never() -> None:
    x = stats_of("asked", [1.0, 3.0, 2.0, 4.0]) | stats_of("alone", [4.0, 4.0, 4.0, 4.0])
    scores = build("ifd").score(x)
    assert np.argsort(-scores.value)[:3].tolist() == [1, 2, 0]
    np.testing.assert_allclose(scores.value[:3], [0.25, 0.75, 0.5])
    assert left_out(scores) == {"the instruction does not help (IFD of 1 or more)": [3]}
    kept = build("ifd", {"misled": "keep"}).score(x)
    assert kept.value[3] == 1


def test_an_ifd_needs_two_numbers_and_a_response_that_is_not_certain() -> None:
    asked = stats_of("asked", [1.0, np.nan, 1.0, 0.0, np.inf], 4, [True] + [False] * 4)
    scores = build("ifd").score(asked | stats_of("alone", [2.0, 2.0, 0.0, 0.0, np.inf]))
    assert left_out(scores) == {
        "longer than the token limit": [0],
        "the IFD is not a number": [1, 2, 3, 4],
    }


def test_the_response_alone_is_read_with_and_without_its_instruction() -> None:
    needs = build("ifd").needs()
    assert {name: need.template for name, need in needs.items()} == {
        "asked": "chat",
        "alone": "bare",
    }


# its template


def decoded(tokenizer: Any, sample: Sample) -> tuple[str, str]:
    """The text a bare template gives, and the scored part of it."""
    [e] = encode([sample], tokenizer, "bare")
    return tokenizer.decode(e.ids.tolist()), tokenizer.decode(e.ids[e.scored].tolist())


@pytest.mark.parametrize("chat", [None, tiny.CHATML])
@pytest.mark.parametrize("bos", [False, True])
def test_a_bare_text_holds_every_response_and_no_prompt(chat: str | None, bos: bool) -> None:
    tokenizer = tiny.byte_bpe(chat, bos=bos)
    turns = (Turn("system", "S"), Turn("user", "U"), Turn("assistant", "one"))
    more = (*turns, Turn("user", "V"), Turn("assistant", "two"))
    assert decoded(tokenizer, Sample(turns, "t")) == ("<s>one</s>", "one</s>")
    assert decoded(tokenizer, Sample(more, "t")) == ("<s>one</s>two</s>", "one</s>two</s>")


def test_the_first_token_of_a_bare_text_needs_something_before_it() -> None:
    sample = Sample((Turn("user", "U"), Turn("assistant", "one")), "t")
    tokenizer = tiny.byte_bpe()
    tokenizer.bos_token = None
    assert decoded(tokenizer, sample) == ("</s>one</s>", "one</s>")
    tokenizer.eos_token = None
    text, scored = decoded(tokenizer, sample)
    assert text == "one"
    assert len(scored) < 3, "its first token is predicted by nothing"


def test_a_response_has_the_same_tokens_with_and_without_its_instruction(
    samples: list[Sample],
) -> None:
    tokenizer = tiny.byte_bpe(tiny.CHATML)
    for asked, alone in zip(
        encode(samples, tokenizer, "chat"), encode(samples, tokenizer, "bare"), strict=True
    ):
        assert asked.scored.sum() == alone.scored.sum()
        same = asked.ids[asked.scored] == alone.ids[alone.scored]
        ends = asked.ids[asked.scored] == tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert (same | ends).all()


def test_the_input_has_a_section_of_its_own_in_alpaca_input() -> None:
    tokenizer = tiny.CharTokenizer()
    turns = (Turn("user", "Sum it\n\n1 2"), Turn("assistant", "3"))
    [plain, own] = (
        "".join(map(chr, encode([Sample(turns, "s", "1 2")], tokenizer, t)[0].ids))
        for t in ("alpaca", "alpaca_input")
    )
    assert "### Instruction:\nSum it\n\n1 2\n\n### Response:" in plain
    assert "### Instruction:\nSum it\n\n### Input:\n1 2\n\n### Response:3" in own
    bare = Sample((Turn("user", "Sum"), Turn("assistant", "3")), "s")
    [a, b] = (encode([bare], tokenizer, t)[0].ids.tolist() for t in ("alpaca", "alpaca_input"))
    assert a == b
