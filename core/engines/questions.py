"""Multiple-choice questions as a model is asked them, and what its first token says.

The order to print one letter stands in a system turn, or above the question where a chat
template knows no such turn. The prompt ends where the model would begin to answer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample, Turn
from core.engines import LETTERS, Wording
from core.templates import encode

SUBJECTS = ("subject", "category", "base_cluster")  # columns that may name a question's subject
DONT_KNOW = "0"  # what a model prints that was told to admit that it does not know
ORDER = (
    "Each user message is a multiple-choice question{about}. "
    "Reply with the letter of the right option and nothing else."
)
OUTS = {
    "plain": "",
    "fallback": f" If you are not certain which option is right, reply {DONT_KNOW} instead.",
    "alternative": f" If you do not know the answer, reply {DONT_KNOW} instead.",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question: what precedes its answer, its options and the right one."""

    turns: tuple[Turn, ...]
    letters: tuple[str, ...]
    gold: int  # index of the right option, -1 where it is unknown
    subject: str


def question(sample: Sample) -> Question | None:
    """The sample as a multiple-choice question; None where it is not one.

    It is one where its columns hold `options`, a JSON object of letter and text, and
    `answer_idx`. Only the first 26 options are looked at.
    """
    if "answer_idx" not in sample.meta:
        return None
    try:
        options = json.loads(str(sample.meta.get("options", "")))
    except (ValueError, RecursionError):
        return None
    if not isinstance(options, dict) or not options:
        return None
    letters = tuple(options)[:LETTERS]
    found = [str(sample.meta[name]).strip() for name in SUBJECTS if sample.meta.get(name)]
    first = next((k for k, t in enumerate(sample.turns) if t.role == "assistant"), None)
    subject = next(iter(found), "").replace("_", " ")
    return Question(
        sample.turns[:first], letters, named(str(sample.meta["answer_idx"]), letters), subject
    )


def named(text: str, letters: Sequence[str], *, exact: bool = False) -> int:
    """Index of the option whose letter a text is, else -1.

    Spaces around it, case and leading zeros do not matter, unless it must be `exact`.
    """
    plain = (lambda t: t) if exact else _plain
    wanted = plain(text)
    return next((k for k, letter in enumerate(letters) if plain(letter) == wanted), -1)


def _plain(text: str) -> str:
    bare = text.strip().casefold()
    return str(int(bare)) if bare.isdecimal() else bare


def letter_tokens(letter: str, tokenizer: Any) -> list[int]:
    """Ids of the tokens that say this letter: with or without a space before it, in any case.

    Which of them come after a prompt depends on the model, so they count together. Empty for
    a letter that takes more than one token, such as "10" in many vocabularies.
    """
    forms = {lead + form for lead in ("", " ") for form in (letter, letter.upper(), letter.lower())}
    found = (tokenizer(form, add_special_tokens=False)["input_ids"] for form in forms)
    return sorted(
        {i[0] for i in found if len(i) == 1 and named(tokenizer.decode(i), [letter]) == 0}
    )


def prompts(
    questions: Sequence[Question], wording: Wording, tokenizer: Any
) -> list[NDArray[np.int64]]:
    """Token ids (L,) of each question, up to where the answer begins.

    Under the tokenizer's own chat template with its mark for an answer, and without a chain of
    thought where the template lets one choose; in Alpaca wording for a tokenizer without one.
    """
    texts = [_rendered(q, wording, tokenizer) for q in questions]
    known = [t for t in texts if t is not None]
    ids = iter(tokenizer(known, add_special_tokens=False)["input_ids"] if known else [])
    return [
        np.asarray(next(ids), np.int64)
        if text is not None
        else _alpaca(_with_order(q, wording, apart=True), tokenizer)
        for q, text in zip(questions, texts, strict=True)
    ]


def _rendered(asked: Question, wording: Wording, tokenizer: Any) -> str | None:
    """The question under the chat template; None where there is none that takes it."""
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        return None
    for apart in (True, False):  # some templates refuse a system turn, some leave it out
        turns = _with_order(asked, wording, apart=apart)
        messages = [{"role": t.role, "content": t.content} for t in turns]
        try:
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except TemplateError:
            continue
        if order(asked, wording) in text:
            return str(text)
    return None


def order(asked: Question, wording: Wording) -> str:
    """What the model is told to do."""
    about = f" about {asked.subject}" if asked.subject else ""
    return ORDER.format(about=about) + OUTS[wording]


def _with_order(asked: Question, wording: Wording, *, apart: bool) -> tuple[Turn, ...]:
    """The order in a system turn before the sample's own, or at the head of the question."""
    system = [t.content for t in asked.turns if t.role == "system"]
    users = [t.content for t in asked.turns if t.role == "user"]
    told = "\n\n".join([order(asked, wording), *system])
    if apart:
        return (Turn("system", told), *(Turn("user", text) for text in users))
    return (Turn("user", "\n\n".join([told, *users])),)


def _alpaca(turns: tuple[Turn, ...], tokenizer: Any) -> NDArray[np.int64]:
    stand_in = Sample((*turns, Turn("assistant", "A")), "")
    return before_answer(encode([stand_in], tokenizer, "alpaca")[0])


def before_answer(encoded: Any) -> NDArray[np.int64]:
    """Token ids up to the first response token; none where nothing is scored."""
    at = np.flatnonzero(encoded.scored)
    ids: NDArray[np.int64] = encoded.ids
    return ids[: at[0]] if len(at) else ids[:0]
