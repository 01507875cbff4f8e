"""Samples -> token ids with exact response spans.

Ids are built by concatenation: the prompt and the response are tokenised apart, so no merge
crosses their border and the number of scored tokens never depends on the tokenizer's whims.
The one exception is `instructdiff`, which repeats the authors' code (parity).
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample, Turn

Template = Literal["chat", "alpaca", "alpaca_input", "instructdiff", "bare", "tulu"]

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
    the `input` in a section of its own (the wording of S2L's code); `tulu` has a line `<|role|>`
    before each turn (targeted instruction selection); `instructdiff` is the text
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
    bring = [r is not None for r in rendered]  # a rendered chat brings its BOS in the text
    return _tokenised(pieces, tokenizer, bring, _start(tokenizer, template))


def encode_less(turns: Sequence[Turn], tokenizer: Any) -> Encoded:
    """LESS's own wording: as `tulu`, and a newline after the last answer that is scored too."""
    pieces = _tulu_pieces(turns)
    if turns and turns[-1].role == "assistant":
        pieces.append(("\n", "response"))
    return _tokenised([pieces], tokenizer, [False], _start(tokenizer, "tulu"))[0]


Piece = tuple[str, Literal["context", "response", "end"]]


def _tokenised(
    pieces: Sequence[Sequence[Piece]], tokenizer: Any, has_bos: Sequence[bool], bos: list[int]
) -> list[Encoded]:
    """The pieces of each sample as one `Encoded`; one call of the tokenizer for all of them."""
    texts = [text for piece in pieces for text, _ in piece]
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    special = _special_ids(tokenizer)
    return [
        _join(piece, ids, tokenizer.eos_token_id, special, [] if has else bos)
        for piece, has in zip(pieces, has_bos, strict=True)
    ]


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
    if template == "tulu":
        return _tulu_pieces(sample.turns)
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


def _tulu_pieces(turns: Sequence[Turn]) -> list[Piece]:
    """Tulu wording: a line with the role, then the stripped turn.

    The newline between an answer and the next turn is scored, as both code bases do it. After
    the last answer only LESS has one; the later code strips it, and so queries and pool end alike.
    """
    pieces: list[Piece] = []
    context = ""
    for turn in turns:
        if pieces and not context:
            pieces.append(("\n", "response"))
        context += f"<|{turn.role}|>\n"
        content = turn.content.strip()
        if turn.role == "assistant":
            pieces += [(context, "context"), (content, "response"), ("", "end")]
            context = ""
        else:
            context += f"{content}\n"
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


def prompts(samples: Sequence[Sample], tokenizer: Any) -> list[list[int]]:
    """Token ids of what a model is asked: each conversation up to its last response, uncut.

    The chat template with its generation prompt; the Alpaca wording where there is none, or
    where it refuses these turns.
    """
    return [_asked(before_last_response(s), tokenizer, answer=True) for s in samples]


def transcripts(samples: Sequence[Sample], tokenizer: Any) -> list[list[int]]:
    """Token ids of each whole conversation, wrapped as in `prompts`."""
    return [_asked(s.turns, tokenizer, answer=False) for s in samples]


def before_last_response(sample: Sample) -> tuple[Turn, ...]:
    """The turns that the last response answers; all of them where the last has no response."""
    return sample.turns[:-1] if sample.turns[-1].role == "assistant" else sample.turns


def end_ids(tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the EOS, and the chat template's own end of turn."""
    ends = {tokenizer.eos_token_id} - {None}
    if getattr(tokenizer, "chat_template", None):
        pieces = _chat_pieces((Turn("user", "Hi"), Turn("assistant", "Yes")), tokenizer) or []
        tail = "".join(text for text, kind in pieces if kind == "end")
        ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
        special = _special_ids(tokenizer)
        ends.update([k for k in ids if k in special][:1])
    return frozenset(ends)


def _asked(turns: Sequence[Turn], tokenizer: Any, answer: bool) -> list[int]:
    """Ids of some turns and, with `answer`, of the words that call for the next response."""
    from jinja2 import TemplateError

    messages = [{"role": t.role, "content": t.content} for t in turns]
    if getattr(tokenizer, "chat_template", None):
        with suppress(TemplateError):
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer
            )
            return list(tokenizer(str(text), add_special_tokens=False)["input_ids"])
    open_end = answer or turns[-1].role != "assistant"  # then a response is added and cut off
    pieces = (
        _alpaca_pieces([*turns, Turn("assistant", "")])[:-2]
        if open_end
        else (_alpaca_pieces(turns))
    )
    ids = [tokenizer.bos_token_id] if _adds_bos(tokenizer) else []
    for text, kind in pieces:
        ids += tokenizer(text, add_special_tokens=False)["input_ids"]
        if kind == "end" and tokenizer.eos_token_id is not None:
            ids.append(tokenizer.eos_token_id)
    return ids
