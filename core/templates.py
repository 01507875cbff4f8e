"""Samples -> token ids with exact response spans.

Ids are built by concatenation: the prompt and the response are tokenised apart, so no merge
crosses their border and the number of scored tokens never depends on the tokenizer's whims.
The one exception is `instructdiff`, which repeats the authors' code (parity).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample, Turn

Template = Literal["chat", "alpaca", "alpaca_input", "instructdiff", "bare"]

ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
)
ALPACA_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
MARK = "\ue000answer\ue000"  # private use characters, which no answer holds


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample as the model sees it.

    `ids` (L,): token ids. `scored` (L,): True where the token belongs to the response or is
    the end-of-turn token after it. The first token is never scored: nothing predicts it.
    """

    ids: NDArray[np.int64]
    scored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


def encode(samples: Sequence[Sample], tokenizer: Any, template: Template = "chat") -> list[Encoded]:
    """Tokenise samples under a template; one call of the tokenizer for all of them.

    `chat` is the tokenizer's own chat template and falls back to `alpaca` for a tokenizer
    that has none; `alpaca` is prompt ids ++ response ids ++ EOS; `alpaca_input` is the same with
    the `input` in a section of its own (the wording of S2L's code); `instructdiff` is the text
    "prompt newline response" tokenised whole, scored from the length of the prompt's own ids
    on, without EOS and without `input`, as the authors' code does it; `bare` is each response
    without its prompt, response ids ++ EOS. Its first token needs something that predicts it:
    BOS, or EOS for a tokenizer without BOS; without either it is not scored.

    Returns: one `Encoded` per sample, in order.
    """
    if template == "instructdiff":
        return [encode_reference(_reference_prompt(s), s.response, tokenizer) for s in samples]
    chat = template == "chat" and bool(getattr(tokenizer, "chat_template", None))
    rendered = [_chat_pieces(s.turns, tokenizer) if chat else None for s in samples]
    pieces = [r or _wording(s, template) for r, s in zip(rendered, samples, strict=True)]
    texts = [text for piece in pieces for text, _ in piece]
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    bos = _start(tokenizer, template)
    special = _special_ids(tokenizer)
    return [  # a rendered chat brings its BOS in the text
        _join(piece, ids, tokenizer.eos_token_id, special, bos if r is None else [])
        for piece, r in zip(pieces, rendered, strict=True)
    ]


Piece = tuple[str, Literal["context", "response", "end"]]


def _chat_pieces(turns: Sequence[Turn], tokenizer: Any) -> list[Piece] | None:
    """Cut the rendered conversation into context, response and end-of-turn pieces.

    Rendered once more with a mark for the answer: where the mark stands, the answer stands.
    So templates may trim an answer or put a chain of thought before it, and an answer may
    repeat its prompt. None for a template that refuses these turns, or rewrites earlier ones
    or the answer: it cannot be cut.
    """
    from jinja2 import TemplateError

    def render(upto: int, answer: str) -> str:
        messages = [{"role": t.role, "content": t.content} for t in turns[:upto]]
        messages.append({"role": "assistant", "content": answer})
        return str(tokenizer.apply_chat_template(messages, tokenize=False))

    pieces: list[Piece] = []
    done = ""
    for i, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        try:
            after, marked = render(i, turn.content), render(i, MARK)
        except TemplateError:
            return None
        head, _, tail = marked.partition(MARK)
        content = after[len(head) : len(after) - len(tail)]
        cut = after == head + content + tail and content.strip() == turn.content.strip()
        if not cut or not head.startswith(done):
            return None
        pieces += [(head[len(done) :], "context"), (content, "response"), (tail, "end")]
        done = after
    return pieces


def _wording(sample: Sample, template: Template) -> list[Piece]:
    """The pieces of a sample under a template that is not the tokenizer's own."""
    if template == "bare":
        said = [t.content for t in sample.turns if t.role == "assistant"]
        return [piece for text in said for piece in _answer(text)]
    if template == "alpaca_input" and sample.input:
        asked = ALPACA_INPUT.format(instruction=sample.instruction, input=sample.input)
        return _alpaca_pieces(sample.turns, asked)
    return _alpaca_pieces(sample.turns)


def _answer(text: str) -> list[Piece]:
    return [(text, "response"), ("", "end")]


def _alpaca_pieces(turns: Sequence[Turn], first: str = "") -> list[Piece]:
    """Alpaca wording; earlier turns and a system message stand above the last instruction.

    `first` is the first instruction in another wording.
    """
    pieces: list[Piece] = []
    context = ""
    for turn in turns:
        if turn.role == "assistant":
            pieces += [(context, "context"), *_answer(turn.content)]
            context = ""
        elif turn.role == "system":
            context += f"{turn.content}\n\n"
        elif pieces:
            context += f"\n\n### Instruction:\n{turn.content}\n\n### Response:"
        else:
            context += first or ALPACA.format(instruction=turn.content)
    return pieces


def _join(
    pieces: Sequence[Piece],
    ids: Iterator[list[int]],
    eos: int | None,
    special: frozenset[int],
    bos: list[int],
) -> Encoded:
    """Concatenate the pieces' ids; the end piece is scored up to its first special token."""
    out = list(bos)
    scored = [False] * len(bos)
    for _, kind in pieces:
        piece = list(next(ids))
        if kind == "end":
            stop = next((k + 1 for k, token in enumerate(piece) if token in special), 0)
            if stop == 0 and eos is not None:
                piece, stop = [eos, *piece], 1
            flags = [k < stop for k in range(len(piece))]
        else:
            flags = [kind == "response"] * len(piece)
        out += piece
        scored += flags
    while scored and not scored[-1]:  # what follows the last end-of-turn predicts nothing
        out.pop()
        scored.pop()
    return _encoded(out, scored)


def _start(tokenizer: Any, template: Template) -> list[int]:
    """Ids before a text that is not a rendered chat."""
    if template == "bare":
        known = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        return [i for i in known if i is not None][:1]
    return [tokenizer.bos_token_id] if _adds_bos(tokenizer) else []


def _adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer itself puts a BOS in front of a text."""
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.bos_token_id is not None and list(first) == [tokenizer.bos_token_id]


def _special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all special tokens; an end of turn need not be one of those that have a role."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    unnamed = {token_id for token_id, token in added.items() if token.special}
    return frozenset(tokenizer.all_special_ids) | unnamed


def _reference_prompt(sample: Sample) -> str:
    return ALPACA.format(instruction=sample.instruction)


def encode_reference(prompt: str, response: str, tokenizer: Any) -> Encoded:
    """InstructDiff's own window: positions len(ids(prompt)) .. L-1 of ids(prompt + newline + y)."""
    start = len(tokenizer(prompt)["input_ids"])
    ids = list(tokenizer(f"{prompt}\n{response}")["input_ids"])
    return _encoded(ids, [k >= start for k in range(len(ids))])


def _encoded(ids: list[int], scored: list[bool]) -> Encoded:
    mask = np.asarray(scored, bool)
    mask[:1] = False
    return Encoded(np.asarray(ids, np.int64), mask)
