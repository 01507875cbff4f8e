"""The first answer position: what is asked, what is measured, what the likeliest token says."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from core import records
from core.config import ROOT
from core.domain import Sample, Turn
from core.engines import LETTERS
from core.engines.answer_token import NONE, UNKNOWN, _predicted, reference_entropy
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.questions import (
    before_answer,
    letter_tokens,
    named,
    order,
    prompts,
    question,
)
from core.engines.weights import load_model
from core.models import Checkpoint
from core.signals import AnswerToken, TokenStats
from core.templates import encode

CPU = Precision("cpu", "fp32")
MakeEngine = Callable[..., HFEngine]
CHATML = tiny.byte_bpe(tiny.CHATML)
# As some templates do: a system turn is left out without a word.
DEAF = tiny.CHATML.replace(
    "{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"
)


def choice(k: int = 0, options: int = 4, gold: str = "B", system: str = "", **meta: Any) -> Sample:
    letters = [chr(65 + j) for j in range(options)]
    lines = [f"Which of the words rhymes with {k}? {'sea ' * (k % 11)}"]
    lines += [f"{letter}. word {j * k}" for j, letter in enumerate(letters)]
    shown = json.dumps({letter: f"word {j * k}" for j, letter in enumerate(letters)})
    turns = [Turn("system", system)] if system else []
    turns += [Turn("user", "\n".join(lines)), Turn("assistant", f"{gold}. word")]
    return Sample(tuple(turns), "tests", meta={"options": shown, "answer_idx": gold} | meta)


@pytest.fixture(scope="module")
def mixed(samples: list[Sample]) -> list[Sample]:
    """Questions of 2 to 26 options among conversations."""
    asked = [choice(k, options=2 + 3 * (k % 9), gold="AB"[k % 2]) for k in range(18)]
    pool = [s for pair in zip(samples[:18], asked, strict=True) for s in pair]
    return [*pool, samples[-2], samples[-1], choice(3, system="Be kind.")]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    folder = tmp_path_factory.mktemp("models")

    def engine(family: str = "llama", tokenizer: Any = CHATML, name: str = "") -> HFEngine:
        made = folder / (name or family)
        if not made.exists():
            tiny.save_model(made, tokenizer, family, max_position_embeddings=1024)
        return HFEngine(Checkpoint(f"tiny-{family}", "0", str(made), made.name), CPU)

    return engine


def before(sample: Sample, wording: Any, tokenizer: Any) -> np.ndarray:
    """What stands before the answer of one sample."""
    asked = question(sample)
    if asked is not None:
        return prompts([asked], wording, tokenizer)[0]
    return before_answer(encode([sample], tokenizer, "chat")[0])


def oracle(engine: HFEngine, pool: Sequence[Sample], wording: Any) -> dict[str, np.ndarray]:
    """One sample at a time, all logits of the model itself, softmax in float64."""
    model = load_model(engine.checkpoint, "cpu", "float32")
    entropy, greedy, options = [], [], np.full((len(pool), LETTERS), np.nan)
    for row, sample in enumerate(pool):
        ids = before(sample, wording, engine.tokenizer)
        with torch.no_grad():
            z = model(torch.from_numpy(ids)[None]).logits[0, -1:].double().numpy()
        entropy.append(tiny.full_softmax(z, [0])[1][0])
        greedy.append(int(z.argmax()))
        p = np.exp(z[0] - z.max()) / np.exp(z[0] - z.max()).sum()
        asked = question(sample)
        for j, letter in enumerate(asked.letters if asked else ()):
            said = letter_tokens(letter, engine.tokenizer)
            with np.errstate(divide="ignore"):
                options[row, j] = np.log(p[said].sum())
    return {"entropy": np.array(entropy), "greedy": np.array(greedy), "options": options}


def check(engine: HFEngine, pool: Sequence[Sample], wording: Any = "plain") -> None:
    found, wanted = engine.answer_token(pool, wording, 4096), oracle(engine, pool, wording)
    np.testing.assert_allclose(found["entropy"], wanted["entropy"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(found["options"], wanted["options"], rtol=0, atol=1e-4)
    assert found["greedy"].tolist() == wanted["greedy"].tolist()
    assert found["choice"].tolist() == ["options" in s.meta for s in pool]
    assert not found["over_long"].any()
    assert np.ptp(found["entropy"]) > 0.05, "a model that says the same of everything"
    assert np.isfinite(found["options"][found["choice"]][:, :2]).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_numbers_are_those_of_one_sample_at_a_time(
    make: MakeEngine, mixed: list[Sample], family: str
) -> None:
    check(make(family), mixed)


@pytest.mark.parametrize("wording", ["plain", "fallback", "alternative"])
@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [
        ("no chat template", tiny.byte_bpe(bos=True)),
        ("no system turn", tiny.byte_bpe(tiny.NO_SYSTEM)),
        ("chat with BOS", tiny.byte_bpe(tiny.WITH_BOS, bos=True)),
    ],
)
def test_numbers_hold_for_every_tokenizer_and_wording(
    make: MakeEngine, mixed: list[Sample], name: str, tokenizer: Any, wording: str
) -> None:
    check(make(name=name.replace(" ", "-"), tokenizer=tokenizer), mixed[:8], wording)


@pytest.mark.parametrize("batch_tokens", [1, 300, 5000])
def test_neither_batches_nor_order_change_the_numbers(
    make: MakeEngine, mixed: list[Sample], batch_tokens: int
) -> None:
    engine = make()
    usual = engine.answer_token(mixed, "plain", 4096)
    engine.batch_tokens = batch_tokens
    shuffled = np.random.default_rng(batch_tokens).permutation(len(mixed))
    found = engine.answer_token([mixed[k] for k in shuffled], "plain", 4096)
    for name, column in usual.items():
        np.testing.assert_allclose(found[name], column[shuffled], rtol=0, atol=1e-5, err_msg=name)


def test_more_rows_than_fit_at_once_are_all_measured(make: MakeEngine) -> None:
    engine = make()
    engine.batch_tokens = 10**6
    pool = [choice(k % 40, gold="AB"[k % 2]) for k in range(70)]
    found = engine.answer_token(pool, "plain", 4096)
    again = engine.answer_token(pool[-3:], "plain", 4096)
    np.testing.assert_allclose(found["entropy"][-3:], again["entropy"], atol=1e-5)
    assert np.isfinite(found["entropy"]).all()


def test_what_is_too_long_is_flagged_and_not_measured(
    make: MakeEngine, mixed: list[Sample]
) -> None:
    engine = make()
    lengths = np.array([len(before(s, "plain", engine.tokenizer)) for s in mixed])
    limit = int(np.median(lengths))
    found = engine.answer_token(mixed, "plain", limit)
    assert found["over_long"].tolist() == (lengths > limit).tolist()
    np.testing.assert_array_equal(np.isnan(found["entropy"]), lengths > limit)
    for name in ("greedy", "predicted"):
        assert set(found[name][lengths > limit]) == {-1}
    assert np.isnan(found["options"][lengths > limit]).all()
    assert found["gold"][-1] == 1


def test_no_samples_and_no_answers_give_no_numbers(make: MakeEngine) -> None:
    engine = make()
    found = engine.answer_token([], "plain", 4096)
    assert {c: a.shape for c, a in found.items()} == {
        c: (0, LETTERS) if c == "options" else (0,) for c in found
    }
    silent = engine.answer_token([Sample((Turn("user", "Hi"),), "tests")], "plain", 4096)
    assert np.isnan(silent["entropy"]).tolist() == [True]
    assert (silent["greedy"].tolist(), silent["over_long"].tolist()) == ([-1], [False])


def test_the_prompt_is_the_chat_template_up_to_the_answer() -> None:
    asked = question(choice(2, subject="word_play", system="Be kind."))
    assert asked is not None
    [ids] = prompts([asked], "plain", CHATML)
    text = CHATML.decode(ids)
    told = order(asked, "plain")
    assert text.startswith(f"<|im_start|>system\n{told}\n\nBe kind.<|im_end|>\n<|im_start|>user")
    assert text.endswith("D. word 6<|im_end|>\n<|im_start|>assistant\n")
    assert "about word play" in told
    assert "Each" in told
    assert "0" not in told


def test_the_wordings_differ_by_the_way_out_alone() -> None:
    asked = question(choice())
    assert asked is not None
    plain, *others = (order(asked, w) for w in ("plain", "fallback", "alternative"))
    assert " about " not in plain
    assert len(set(others)) == 2
    for text in others:
        assert text.startswith(plain)
        assert "reply 0" in text


@pytest.mark.parametrize("template", [tiny.NO_SYSTEM, DEAF])
def test_a_template_without_system_turns_reads_the_order_above_the_question(template: str) -> None:
    tokenizer = tiny.byte_bpe(template)
    asked = question(choice(1, system="Be kind."))
    assert asked is not None
    text = tokenizer.decode(prompts([asked], "plain", tokenizer)[0])
    assert text.startswith(f"<|im_start|>user\n{order(asked, 'plain')}\n\nBe kind.\n\nWhich of")
    assert text.count("<|im_start|>") == 2


def test_a_tokenizer_without_template_asks_in_alpaca_wording() -> None:
    tokenizer = tiny.byte_bpe(bos=True)
    asked = question(choice())
    assert asked is not None
    text = tokenizer.decode(prompts([asked], "plain", tokenizer)[0])
    assert text.startswith(f"<s>{order(asked, 'plain')}\n\nBelow is an instruction")
    assert text.endswith("### Response:")


def test_letters_are_the_single_tokens_that_say_them() -> None:
    for letter in "AbZ7":
        ids = letter_tokens(letter, CHATML)
        assert ids
        assert all(CHATML.decode([i]).strip().lower() == letter.lower() for i in ids)
        assert CHATML(letter, add_special_tokens=False)["input_ids"][0] in ids
    assert letter_tokens("10", CHATML) == []
    assert letter_tokens("Q", tiny.word_level()) == []  # it has no such word


def test_an_option_that_no_token_says_has_no_probability(make: MakeEngine) -> None:
    shown = json.dumps({str(k): "x" for k in range(1, 11)})
    sample = Sample(
        (Turn("user", "Which?"), Turn("assistant", "10. x")),
        "tests",
        meta={"options": shown, "answer_idx": "10"},
    )
    found = make().answer_token([sample], "plain", 4096)
    assert found["gold"].tolist() == [9]
    assert np.isfinite(found["options"][0, :9]).all()
    assert found["options"][0, 9] == -np.inf
    assert np.isnan(found["options"][0, 10:]).all()


def test_options_share_at_most_the_whole_probability(make: MakeEngine, mixed: list[Sample]) -> None:
    options = make().answer_token(mixed, "plain", 4096)["options"]
    total = np.nansum(np.exp(options), axis=1)
    assert ((total >= 0) & (total <= 1 + 1e-6)).all()


@pytest.mark.parametrize(
    ("text", "index"),
    [("B", 1), (" b", 1), ("b\n", 1), ("", -1), ("B.", -1), ("E", -1), ("BB", -1), ("0", -1)],
)
def test_an_option_is_named_by_its_letter_alone(text: str, index: int) -> None:
    assert named(text, "ABCD") == index


def test_numbers_name_options_too() -> None:
    numbers = [str(k) for k in range(1, 12)]
    assert [named(t, numbers) for t in ("1", " 3 ", "03", "11", "12", "x")] == [0, 2, 2, 10, -1, -1]
    assert [named(t, numbers, exact=True) for t in ("3", "03", " 3")] == [2, -1, -1]


@pytest.mark.parametrize("wording", ["plain", "fallback", "alternative"])
def test_zero_means_do_not_know_where_it_was_offered(make: MakeEngine, wording: Any) -> None:
    engine = make()
    asked = question(choice())
    assert asked is not None

    def said(text: str) -> int:
        [token] = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
        return _predicted(engine, token, asked, wording)

    assert [said(t) for t in ("A", "d", "E", ".")] == [0, 3, NONE, NONE]
    assert said("0") == (NONE if wording == "plain" else UNKNOWN)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"options": "A) yes B) no", "answer_idx": "A"},
        {"options": "[1, 2]", "answer_idx": "A"},
        {"options": "{}", "answer_idx": "A"},
        {"options": '{"A": "yes"}'},
        {"options": 3, "answer_idx": "A"},
        {"options": "[" * 5000, "answer_idx": "A"},
    ],
)
def test_what_has_no_lettered_options_is_not_multiple_choice(meta: dict[str, Any]) -> None:
    turns = (Turn("user", "Is it?"), Turn("assistant", "A. yes"))
    assert question(Sample(turns, "tests", meta=meta)) is None


def test_an_unknown_right_option_is_minus_one() -> None:
    asked = question(choice(gold="Z"))
    assert asked is not None
    assert asked.gold == -1


def test_reference_entropy_is_the_entropy_of_a_softmax() -> None:
    z = np.random.default_rng(0).normal(0, 3, (40, 50))
    entropy, greedy, above = reference_entropy(z)
    np.testing.assert_allclose(entropy, tiny.full_softmax(z, np.zeros(40, int))[1], atol=1e-9)
    assert greedy.tolist() == z.argmax(1).tolist()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert above.tolist() == [(row > 1e-5).sum() for row in p]
    certain = np.full((1, 5), -np.inf)
    certain[0, 2] = 0
    assert reference_entropy(certain)[0].tolist() == [0.0]


@pytest.mark.model
def test_the_embedded_model_names_an_option_of_most_questions(embedded: Checkpoint) -> None:
    read = records.read(Path(ROOT) / "core" / "demo" / "pool.jsonl")
    pool = [r.sample for r in read if isinstance(r, records.Read) and "options" in r.sample.meta]
    found = HFEngine(embedded, CPU).answer_token(pool[:8], "plain", 4096)
    assert found["choice"].all()
    assert np.isfinite(found["entropy"]).all()
    assert (found["entropy"] > 0).all()
    assert (found["predicted"] >= 0).mean() > 0.7
    assert (np.exp(found["options"][:, :4]).sum(1) > 0.5).all(), "the letters hold most of it"


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "fp32"), ("cuda", "bf16")])
def test_on_a_processor_one_token_is_read_in_float32_whatever_the_run_is(device, dtype):
    precision = Precision(device, "bf16")
    assert precision.of(AnswerToken().steady) == Precision(device, dtype)
    assert precision.of(TokenStats().steady) == precision
