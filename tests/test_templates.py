"""Samples as token ids: what is scored is the answer and its end, under every kind of template."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tiny
from tiny import CharTokenizer, byte_bpe

from core.domain import Sample, Turn
from core.models import Checkpoint
from core.templates import Encoded, encode

CHAT = {
    "plain": tiny.CHATML,
    "with BOS": tiny.WITH_BOS,
    "trims": tiny.TRIMMING,
    "thinks before the last answer": tiny.THINKING,
    "opens a thought in the prompt": tiny.OPENS_THOUGHT,
}


def talk(*contents: str, system: str = "") -> Sample:
    turns = [Turn("system", system)] if system else []
    roles = ("user", "assistant")
    return Sample((*turns, *(Turn(roles[k % 2], c) for k, c in enumerate(contents))), "tests")


def one(sample: Sample, tokenizer: Any, template: Any = "chat") -> Encoded:
    return encode([sample], tokenizer, template)[0]


def runs(e: Encoded, tokenizer: Any) -> list[str]:
    """The texts of the scored runs, specials included."""
    edges = np.flatnonzero(np.diff(np.r_[0, e.scored.astype(int), 0]))
    return [tokenizer.decode(e.ids[a:b].tolist()) for a, b in edges.reshape(-1, 2)]


def whole(e: Encoded, tokenizer: Any) -> str:
    return str(tokenizer.decode(e.ids.tolist()))


def same(a: Encoded, b: Encoded) -> bool:
    return a.ids.tolist() == b.ids.tolist() and a.scored.tolist() == b.scored.tolist()


@pytest.mark.parametrize("chat", CHAT.values(), ids=CHAT)
def test_the_answer_and_its_end_are_scored_and_nothing_else(chat: str) -> None:
    tokenizer = byte_bpe(chat)
    for answer in ("Paris.", "a", "line\n\nline", "👋 مرحبا", "assistant", "system\n"):
        scored = runs(one(talk("Capital of France? a", answer), tokenizer), tokenizer)
        trims = chat == tiny.TRIMMING
        assert scored == [(answer.strip() if trims else answer) + "<|im_end|>"]


@pytest.mark.parametrize("chat", CHAT.values(), ids=CHAT)
def test_the_text_is_what_the_chat_template_renders(chat: str) -> None:
    tokenizer = byte_bpe(chat)
    sample = talk("Hi there", "Hello", system="Be kind")
    messages = [{"role": t.role, "content": t.content} for t in sample.turns]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert whole(one(sample, tokenizer), tokenizer) == rendered.removesuffix("\n")


def test_the_ids_are_those_of_the_pieces_tokenised_apart() -> None:
    tokenizer = byte_bpe(tiny.CHATML)
    assert tokenizer("it completes")["input_ids"] != [
        *tokenizer("it comp")["input_ids"],
        *tokenizer("letes")["input_ids"],
    ], "the toy tokenizer must have merges for this test to say anything"
    e = one(talk("it comp", "letes it"), tokenizer)
    head = "<|im_start|>user\nit comp<|im_end|>\n<|im_start|>assistant\n"
    ids = [tokenizer(x, add_special_tokens=False)["input_ids"] for x in (head, "letes it")]
    assert e.ids.tolist() == [*ids[0], *ids[1], tokenizer.convert_tokens_to_ids("<|im_end|>")]
    assert int(e.scored.sum()) == len(ids[1]) + 1


@pytest.mark.parametrize("template", ["chat", "alpaca"])
def test_every_assistant_turn_is_scored(template: str) -> None:
    tokenizer = byte_bpe(tiny.CHATML)
    e = one(talk("One?", "uno", "Two?", "dos", "Three?", "tres", "Bye"), tokenizer, template)
    end = "<|im_end|>" if template == "chat" else "</s>"
    assert runs(e, tokenizer) == [f"uno{end}", f"dos{end}", f"tres{end}"]
    assert whole(e, tokenizer).endswith(f"tres{end}")  # what comes later predicts nothing


def test_an_answer_may_hold_marks_prompts_or_its_own_instruction() -> None:
    tokenizer = byte_bpe(tiny.CHATML)
    for answer in (
        "Say <|im_end|> to end",
        "<|im_start|>user\nAnd you?<|im_end|>\n<|im_start|>assistant\n",
        "### Response: yes",
        "Repeat this",
        "<|im_end|>",
    ):
        for template, end in (("chat", "<|im_end|>"), ("alpaca", "</s>")):
            e = one(talk("Repeat this", answer), tokenizer, template)
            assert runs(e, tokenizer) == [answer + end]


def test_a_trimmed_answer_that_its_prompt_repeats_is_found() -> None:
    tokenizer = byte_bpe(tiny.TRIMMING)
    e = one(talk("Say:\nHi\n\nagain:\nHi\n", "Hi\n"), tokenizer)
    assert runs(e, tokenizer) == ["Hi<|im_end|>"]
    assert whole(e, tokenizer).startswith("<|im_start|>user")


def test_an_empty_chain_of_thought_before_the_answer_is_not_scored() -> None:
    tokenizer = byte_bpe(tiny.THINKING)
    e = one(talk("Capital?", "Paris"), tokenizer)
    assert whole(e, tokenizer).endswith("<think>\n\n</think>\n\nParis<|im_end|>")
    assert runs(e, tokenizer) == ["Paris<|im_end|>"]


def test_a_short_answer_is_found_where_the_prompt_opens_a_chain_of_thought() -> None:
    tokenizer = byte_bpe(tiny.OPENS_THOUGHT)
    e = one(talk("Letter?", "e"), tokenizer)  # "e" is in <|im_end|> too
    assert runs(e, tokenizer) == ["e<|im_end|>"]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize(
    ("chat", "sample"),
    [
        (None, talk("Hi", "Hello")),
        (tiny.FORGETTING, talk("Hi", "Hello", "Bye", "See you")),
        (tiny.THINKING, talk("Hi", "Hello", "Bye", "See you")),
        (tiny.SHOUTING, talk("Hi", "Hello")),
        (tiny.NO_SYSTEM, talk("Hi", "Hello", system="Be kind")),
    ],
    ids=["has none", "forgets answers", "rewrites history", "rewrites answers", "refuses turns"],
)
def test_a_template_that_cannot_be_cut_falls_back_to_alpaca(
    chat: str | None, sample: Sample, bos: bool
) -> None:
    tokenizer = byte_bpe(chat, bos=bos)
    e = one(sample, tokenizer)
    assert same(e, one(sample, tokenizer, "alpaca"))
    assert (e.ids[0] == tokenizer.bos_token_id) == bos
    assert "### Instruction:\nHi\n\n### Response:" in whole(e, tokenizer)


def test_only_samples_that_cannot_be_cut_fall_back() -> None:
    tokenizer = byte_bpe(tiny.NO_SYSTEM, bos=True)
    plain, refused = talk("Hi", "Hello"), talk("Hi", "Hello", system="Be kind")
    a, b, c = encode([plain, refused, plain], tokenizer)
    assert same(a, c)
    assert same(a, one(plain, byte_bpe(tiny.CHATML)))  # its text brings no BOS, so it has none
    assert same(b, one(refused, tokenizer, "alpaca"))


def test_a_rendered_bos_comes_once() -> None:
    tokenizer = byte_bpe(tiny.WITH_BOS, bos=True)
    e = one(talk("Hi", "Hello", "Bye", "Bye"), tokenizer)
    assert e.ids.tolist().count(tokenizer.bos_token_id) == 1
    assert e.ids[0] == tokenizer.bos_token_id


def test_an_end_of_turn_without_a_role_in_the_tokenizer_is_an_end_too() -> None:
    named, unnamed = byte_bpe(tiny.CHATML), byte_bpe(tiny.CHATML, special=False)
    assert set(unnamed.all_special_ids) < set(named.all_special_ids)
    sample = talk("Hi", "Hello", "Bye", "Bye")
    assert same(one(sample, named), one(sample, unnamed))


def test_turns_that_end_without_a_special_token_get_the_end_of_text() -> None:
    tokenizer = byte_bpe(tiny.PLAIN)
    e = one(talk("Hi", "Hello", "Bye", "Adieu"), tokenizer)
    assert runs(e, tokenizer) == ["Hello</s>", "Adieu</s>"]
    assert whole(e, tokenizer) == "user: Hi\nassistant: Hello</s>\nuser: Bye\nassistant: Adieu</s>"


@pytest.mark.parametrize("bos", [False, True])
def test_alpaca_begins_with_a_bos_where_the_tokenizer_adds_one(bos: bool) -> None:
    for tokenizer in (CharTokenizer(bos), byte_bpe(bos=bos)):
        e = one(talk("Hi", "Hello", "Bye", "Bye"), tokenizer, "alpaca")
        assert e.ids.tolist().count(tokenizer.bos_token_id) == bos
        assert (e.ids[0] == tokenizer.bos_token_id) == bos


def test_alpaca_shows_input_and_system_but_scores_the_answer_alone() -> None:
    turns = (Turn("system", "Be kind"), Turn("user", "Sum\n\n1 2"), Turn("assistant", "3"))
    e = one(Sample(turns, "s", input="1 2"), CharTokenizer(), "alpaca")
    text = "".join(map(chr, e.ids))
    assert text.startswith("Be kind\n\nBelow is an instruction")
    assert text.endswith("### Instruction:\nSum\n\n1 2\n\n### Response:3\x03")
    assert "".join(map(chr, e.ids[e.scored])) == "3\x03"


@pytest.mark.parametrize("template", ["chat", "alpaca"])
def test_an_empty_answer_leaves_its_end_to_be_scored(template: str) -> None:
    e = one(talk("Hi", ""), byte_bpe(tiny.CHATML), template)
    assert int(e.scored.sum()) == 1


@pytest.mark.parametrize("template", ["chat", "alpaca", "instructdiff"])
def test_a_sample_is_encoded_the_same_alone_and_among_others(
    samples: Sequence[Sample], template: Any
) -> None:
    tokenizer = byte_bpe(tiny.CHATML, bos=True)
    together = encode(samples, tokenizer, template)
    for sample, e in zip(samples, together, strict=True):
        assert same(e, one(sample, tokenizer, template))
        assert e.scored.any()
        assert not e.scored[0]
    assert encode([], tokenizer, template) == []


@pytest.mark.model
def test_the_embedded_models_chat_is_scored_exactly(
    embedded: Checkpoint, samples: Sequence[Sample]
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded.folder, local_files_only=True)
    for sample, e in zip(samples, encode(samples, tokenizer), strict=True):
        answers = [t.content for t in sample.turns if t.role == "assistant"]
        assert runs(e, tokenizer) == [f"{answer}<|im_end|>" for answer in answers]
        messages = [{"role": t.role, "content": t.content} for t in sample.turns]
        rendered = tokenizer.apply_chat_template(messages, tokenize=False)
        assert whole(e, tokenizer) == rendered.removesuffix("\n")
        parts = [tokenizer(a, add_special_tokens=False)["input_ids"] for a in answers]
        assert int(e.scored.sum()) == sum(map(len, parts)) + len(parts)


@pytest.mark.model
def test_the_name_embedded_resolves_from_a_cache_that_holds_it(embedded_cache: Any) -> None:
    from core.models import resolve

    assert resolve("embedded").folder.startswith(str(embedded_cache))
