"""Sampled answers against one prompt at a time, and draws against a sort."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from scipy import stats

from core.blocks import plan
from core.domain import Sample, Turn
from core.engines import Sampling, sampling
from core.engines.draws import BLOCK, GOLDEN, ROWS, draw, exponential, key, nucleus, splitmix
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.plain_decoding import PlainDecoding
from core.models import Checkpoint
from core.templates import before_last_response, end_ids, prompts, transcripts

CPU = Precision("cpu", "fp32")
MakeEngine = Callable[..., HFEngine]
WILD = Sampling(k=3, temperature=1.4, top_p=0.9, max_new_tokens=24, seed=7)
GREEDY = replace(WILD, k=2, temperature=1e-4, max_new_tokens=24)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    """Engines over tiny random models; each model is made once."""
    folder = tmp_path_factory.mktemp("models")

    def engine(family: str = "llama") -> HFEngine:
        made = folder / family
        if not made.exists():  # a tied gemma2 would say one token for ever
            tokenizer = tiny.byte_bpe(tiny.CHATML)
            tiny.save_model(made, tokenizer, family, tie_word_embeddings=False)
        return HFEngine(Checkpoint(f"tiny-{family}", "0", str(made), made.name), CPU)

    return engine


def ask(text: str, *more: Turn) -> Sample:
    return Sample((*more, Turn("user", text), Turn("assistant", "x")), "tests")


def rows(found: dict[str, np.ndarray], order: Any = slice(None)) -> list[Any]:
    return [found[name][order].tolist() for name in ("text", "n_tokens", "ended", "over_long")]


# draws


def kept_mass(logits: np.ndarray, temperature: float, top_p: float) -> np.ndarray:
    """Softmax, sort, cut behind the token that crosses p, renormalise: the obvious way."""
    z = logits.astype(np.float64) / temperature
    p = np.exp(z - z.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    size = int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1
    out = np.zeros_like(p)
    out[order[:size]] = p[order[:size]]
    return out / out.sum()


@pytest.mark.parametrize(
    ("spread", "temperature", "top_p"),
    [(2.0, 1.4, 0.9), (2.0, 1.0, 1.0), (1.0, 0.7, 0.5), (0.5, 1.0, 0.05)],
)
def test_draws_have_the_distribution_of_a_sort(
    spread: float, temperature: float, top_p: float
) -> None:
    n, logits = 12_000, np.random.default_rng(3).normal(0, spread, BLOCK + 90)
    logits = logits.astype(np.float32)
    wanted = kept_mass(logits, temperature, top_p)
    keys = torch.arange(n) * 12_345
    many = torch.from_numpy(logits).expand(n, -1)
    found = np.bincount(draw(many, keys, 5, temperature, top_p).numpy(), minlength=len(logits))
    assert found[wanted == 0].sum() == 0
    common = wanted * n >= 10
    parts = (np.append(x[common], x[~common].sum()) for x in (found, wanted * n))
    seen, expected = (x[: common.sum() + (wanted[~common].sum() > 0)] for x in parts)
    assert len(seen) > 5
    assert stats.chisquare(seen, expected).pvalue > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rows_beside_it_do_not_change_a_draw(dtype: torch.dtype) -> None:
    chance = torch.Generator().manual_seed(2)
    logits = (torch.randn(ROWS["cpu"] * 3 + 1, BLOCK * 2 + 7, generator=chance) * 3).to(dtype)
    keys = torch.arange(len(logits)) * 991
    many = draw(logits, keys, 4, 1.4, 0.9)
    for row in range(len(logits)):
        assert draw(logits[row : row + 1], keys[row : row + 1], 4, 1.4, 0.9) == many[row]


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999, 1.0])
def test_the_nucleus_is_that_of_transformers(top_p: float) -> None:
    from transformers import TopPLogitsWarper

    logits = torch.from_numpy(np.random.default_rng(5).normal(0, 2, (40, 300)))
    theirs = TopPLogitsWarper(top_p)(None, logits).isfinite()
    assert torch.equal(nucleus(logits.softmax(1), top_p) > 0, theirs)


def test_tokens_without_mass_are_never_drawn() -> None:
    logits = torch.full((5000, 700), -torch.inf)
    logits[:, [300, 650]] = 1.0
    found = draw(logits, torch.arange(5000), 0, 1.4, 1.0)
    assert set(found.tolist()) == {300, 650}


def test_noise_is_exponential_and_belongs_to_key_position_and_attempt_alone() -> None:
    keys = torch.tensor([key(s, i, j) for s in (1, 2) for i in "abc" for j in range(4)])
    assert len(set(keys.tolist())) == len(keys)
    noise = exponential(keys, 0, 1000)
    assert stats.kstest(noise.numpy().ravel(), "expon").pvalue > 0.01
    assert torch.equal(exponential(keys[5:7], 0, 10), noise[5:7, :10])
    assert np.abs(np.corrcoef(noise) - np.eye(len(keys))).max() < 0.2
    again = exponential(keys, 1, 1000)
    assert np.abs([np.corrcoef(a, b)[0, 1] for a, b in zip(noise, again, strict=True)]).max() < 0.2


def test_splitmix_is_that_of_its_authors() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    signed = GOLDEN - 2**64
    states = 1234567 + torch.arange(1, 4) * signed  # seed 1234567, first three numbers
    assert [x % 2**64 for x in splitmix(states).tolist()] == published


# answers


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_hardly_any_temperature_is_greedy_decoding_one_by_one(
    make: MakeEngine, samples: Sequence[Sample], family: str, plain: bool
) -> None:
    engine = make(family)
    assert (engine.decoder is None) == (family == "gpt2")
    asked = prompts(samples[:4] + samples[-2:], engine.tokenizer)
    assert len({len(ids) for ids in asked}) > 3
    ends = np.array([2, 4, *range(60, 90)])  # many, so that rows leave at different times
    keys = np.arange(len(asked) * GREEDY.k)
    with torch.inference_mode():
        growing = (
            PlainDecoding(engine.model, asked, GREEDY.k)
            if plain
            else sampling.growing_of(engine, asked, GREEDY.k)
        )
    found = sampling.sample(growing, keys, GREEDY, ends)
    for row, ids in enumerate(asked):
        prompt = torch.tensor([ids])
        wanted = engine.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=GREEDY.max_new_tokens,
            eos_token_id=ends.tolist(),
            pad_token_id=0,
        )[0, len(ids) :].tolist()
        for j in (GREEDY.k * row, GREEDY.k * row + 1):
            assert found.tokens[j, : found.n_tokens[j]].tolist() == wanted
            assert found.ended[j] == (wanted[-1] in ends)
            assert not found.tokens[j, found.n_tokens[j] :].any()
    assert len(set(found.n_tokens.tolist())) > 2, "rows that all stop at once test little"


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
def test_neither_blocks_nor_order_nor_batches_change_a_text(
    make: MakeEngine,
    samples: Sequence[Sample],
    family: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = make(family).answers(samples, WILD, 4096)
    assert len(np.unique(usual["text"])) > 0.9 * usual["text"].size
    order = np.random.default_rng(1).permutation(len(samples))
    mixed = make(family).answers([samples[k] for k in order], WILD, 4096)
    assert rows(mixed) == rows(usual, order)
    for row in (0, len(samples) - 1):
        alone = make(family).answers([samples[row]], WILD, 4096)
        assert rows(alone) == rows(usual, [row])
    monkeypatch.setitem(sampling.CACHE_BYTES, "cpu", 100_000)  # one or two prompts at a time
    assert rows(make(family).answers(samples, WILD, 4096)) == rows(usual)


def test_a_run_that_is_killed_and_resumed_has_the_texts_of_an_undisturbed_one(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    by_id = {s.sample_id: s for s in samples}
    engine = make()

    def measured(ids: Sequence[str], blocks: int) -> dict[str, list[Any]]:
        lengths = engine.lengths([by_id[i] for i in ids], "chat")
        out: dict[str, list[Any]] = {}
        for block in plan(ids, lengths, 400)[:blocks]:
            found = engine.answers([by_id[i] for i in block.ids], WILD, 4096)
            out |= {i: rows(found, [k]) for k, i in enumerate(block.ids)}
        return out

    whole = measured(list(by_id), 99)
    first = measured(list(by_id), 2)
    assert 0 < len(first) < len(whole)
    engine = make()
    rest = measured([i for i in by_id if i not in first], 99)
    assert first | rest == whole


def test_an_answer_depends_on_seed_sample_and_number_alone(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    engine, few = make(), samples[:4]
    usual = engine.answers(few, WILD, 4096)["text"]
    more = engine.answers(few, replace(WILD, k=5), 4096)["text"]
    np.testing.assert_array_equal(more[:, :3], usual)
    longer = engine.answers(few, replace(WILD, max_new_tokens=30), 4096)
    shorter = engine.answers(few, replace(WILD, max_new_tokens=20), 4096)
    assert (longer["n_tokens"] >= shorter["n_tokens"]).all()
    assert not (engine.answers(few, replace(WILD, seed=8), 4096)["text"] == usual).any()


def test_prompts_that_do_not_fit_have_empty_answers(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    engine = make()
    lengths = np.array([len(ids) for ids in prompts(samples, engine.tokenizer)])
    limit = int(np.median(lengths)) + WILD.max_new_tokens
    found = engine.answers(samples, WILD, limit)
    over = lengths + WILD.max_new_tokens > limit
    assert 0 < over.sum() < len(samples)
    assert found["over_long"].tolist() == over.tolist()
    assert (found["text"][over] == b"").all()
    assert (found["n_tokens"][over] == 0).all()
    assert not found["ended"][over].any()
    assert (found["n_tokens"][~over] > 0).all()
    fresh = make()
    none = fresh.answers(samples, WILD, 5)
    assert none["over_long"].all()
    assert "model" not in vars(fresh), "no model is loaded where nothing fits"
    assert fresh.answers([], WILD, 4096)["text"].shape == (0, WILD.k)


# prompts and ends


def test_a_prompt_is_the_conversation_up_to_its_last_response(samples: Sequence[Sample]) -> None:
    tokenizer = tiny.byte_bpe(tiny.CHATML)
    for sample, ids in zip(samples, prompts(samples, tokenizer), strict=True):
        turns = [{"role": t.role, "content": t.content} for t in sample.turns[:-1]]
        wanted = tokenizer.apply_chat_template(
            turns, tokenize=True, add_generation_prompt=True, return_dict=False
        )
        assert ids == wanted
        assert before_last_response(sample) == sample.turns[:-1]


def test_a_prompt_without_a_template_has_the_alpaca_wording_and_the_input() -> None:
    plain = tiny.byte_bpe(bos=True)
    sample = Sample((Turn("user", "Add\n\n3, 4"), Turn("assistant", "7")), "tests", input="3, 4")
    [ids] = prompts([sample], plain)
    assert ids[0] == plain.bos_token_id
    text = plain.decode(ids[1:])
    assert text.endswith("\n\n### Instruction:\nAdd\n\n3, 4\n\n### Response:")
    [whole] = transcripts([sample], plain)
    assert whole == [*ids, *plain("7", add_special_tokens=False)["input_ids"], plain.eos_token_id]
    told = ask("Hi", Turn("system", "Be brief."))
    [refused] = prompts([told], tiny.byte_bpe(tiny.NO_SYSTEM))
    assert plain.decode(refused).startswith("Be brief.\n\nBelow is")


def test_earlier_turns_and_unanswered_ones_are_part_of_the_prompt() -> None:
    turns = (Turn("user", "A"), Turn("assistant", "B"), Turn("user", "C"))
    for tokenizer in (tiny.byte_bpe(), tiny.byte_bpe(tiny.CHATML)):
        [asked] = prompts([Sample(turns, "tests")], tokenizer)
        [answered] = prompts([Sample((*turns, Turn("assistant", "D")), "tests")], tokenizer)
        assert asked == answered
        eos = tokenizer.eos_token_id
        assert (eos in asked) is (tokenizer.chat_template is None)


def test_answers_end_with_the_end_of_turn_and_with_the_eos() -> None:
    assert end_ids(tiny.byte_bpe(tiny.CHATML)) == {2, 4}  # </s> and <|im_end|>
    assert end_ids(tiny.byte_bpe(tiny.CHATML, special=False)) == {2, 4}
    assert end_ids(tiny.byte_bpe(tiny.PLAIN)) == end_ids(tiny.byte_bpe()) == {2}
    endless = tiny.byte_bpe()
    endless.eos_token = None
    assert end_ids(endless) == frozenset()


def test_the_models_own_end_tokens_count(make: MakeEngine, samples: Sequence[Sample]) -> None:
    engine = make()
    usual = engine.answers(samples, WILD, 4096)
    engine.model.generation_config.eos_token_id = list(range(5, 200))
    found = engine.answers(samples, WILD, 4096)
    assert found["ended"].mean() > 0.9 > usual["ended"].mean()
    assert found["n_tokens"].mean() < usual["n_tokens"].mean() / 2
