"""How much work a signal is on some samples, by kind, before anything is measured.

Tokens are counted by a tokenizer, without any weights, or guessed from characters. The same
count is behind the measured rates and behind the estimates, so that what it overlooks cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from core.domain import IntN, Sample
from core.engines import Engine, Text, Wording
from core.engines.questions import before_answer, prompts, question
from core.estimates import BACKWARD, Amounts, Cost, longest, sampled
from core.signals import Answers, AnswerToken, AnswerVectors, Embedding, Gradient, Signal
from core.templates import Template

ASKING = 40  # characters of the order to print one letter, beside the question's own, a guess


class Counter(Protocol):
    """Counts the tokens of samples, (b,) each."""

    def whole(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Of prompt and response."""
        ...

    def answer(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Of the response alone."""
        ...

    def asked(self, samples: Sequence[Sample], wording: Wording) -> IntN:
        """Of what stands before the first token of an answer."""
        ...

    def text(self, samples: Sequence[Sample], text: Text) -> IntN:
        """Of the text that an embedder reads."""
        ...

    def start(self, samples: Sequence[Sample], template: Template) -> int:
        """That all begin with, which are read once for all."""
        ...


@dataclass(frozen=True)
class Tokens:
    """Counts by an engine's own tokenizer, which needs no weights."""

    engine: Engine

    def whole(self, samples: Sequence[Sample], template: Template) -> IntN:
        """See `Counter.whole`."""
        return self.engine.lengths(samples, template)

    def answer(self, samples: Sequence[Sample], template: Template) -> IntN:
        """See `Counter.answer`."""
        return self.engine.response_lengths(samples, template)

    def asked(self, samples: Sequence[Sample], wording: Wording) -> IntN:
        """See `Counter.asked`."""
        tokenizer = getattr(self.engine, "tokenizer", None)
        if tokenizer is None:
            return self.whole(samples, "chat") - self.answer(samples, "chat")
        found = [question(s) for s in samples]
        choice = iter(prompts([q for q in found if q is not None], wording, tokenizer))
        others = [s for s, q in zip(samples, found, strict=True) if q is None]
        rest = iter(cast(Any, self.engine).encoded(others, "chat"))
        return np.array([len(next(choice) if q else before_answer(next(rest))) for q in found])

    def text(self, samples: Sequence[Sample], text: Text) -> IntN:
        """See `Counter.text`."""
        tokenizer = getattr(self.engine, "tokenizer", None)
        read = [_read(s, text) for s in samples]
        if tokenizer is None:
            return np.array([len(x.split()) + 1 for x in read])
        ids = tokenizer(read, verbose=False)["input_ids"] if read else []
        return np.array([len(row) for row in ids], np.int64)

    def start(self, samples: Sequence[Sample], template: Template) -> int:
        """See `Counter.start`."""
        if getattr(self.engine, "tokenizer", None) is None or not samples:
            return 0
        engine = cast(Any, self.engine)
        return int(engine.shared_start([e.ids for e in engine.encoded(samples, template)]))


@dataclass(frozen=True)
class Characters:
    """Guesses from characters; `fit` as in `Rates.characters`, `shared` as in `Rates.shared`."""

    fit: tuple[float, float, float, float] = (0.25, 30.0, 0.25, 1.0)
    shared: int = 0

    def whole(self, samples: Sequence[Sample], template: Template) -> IntN:
        """See `Counter.whole`."""
        if template == "bare":
            return self.answer(samples, template)
        said = [sum(len(t.content) for t in s.turns) for s in samples]
        return self._tokens(said, self.fit[:2])

    def answer(self, samples: Sequence[Sample], template: Template) -> IntN:
        """See `Counter.answer`."""
        return self._tokens([len(s.response) for s in samples], self.fit[2:])

    def asked(self, samples: Sequence[Sample], wording: Wording) -> IntN:
        """See `Counter.asked`."""
        said = [sum(len(t.content) for t in s.turns if t.role != "assistant") for s in samples]
        return self._tokens([n + ASKING for n in said], self.fit[:2])

    def text(self, samples: Sequence[Sample], text: Text) -> IntN:
        """See `Counter.text`."""
        return self._tokens([len(_read(s, text)) for s in samples], (self.fit[0], 2.0))

    def start(self, samples: Sequence[Sample], template: Template) -> int:
        """See `Counter.start`."""
        return self.shared if template == "chat" else 0

    def _tokens(self, characters: Sequence[int], fit: Sequence[float]) -> IntN:
        guessed = np.asarray(characters, np.float64) * fit[0] + fit[1]
        return np.maximum(np.rint(guessed), 1).astype(np.int64)


def _read(sample: Sample, text: Text) -> str:
    if text == "instruction":
        return next((t.content for t in sample.turns if t.role == "user"), "")
    return "\n\n".join(t.content for t in sample.turns)


@dataclass(frozen=True)
class Reader:
    """What shapes the work of a model on samples, beside them.

    `longest`: longer texts are left out, or cut where a vector is all that is asked for. `ends`:
    see `Rates.ends`. `weights` of the adapter that gradients are taken by. `sentence`: it is a
    sentence embedder.
    """

    counter: Counter
    cost: Cost = Cost()  # noqa: RUF009  (frozen)
    longest: int = 2**31
    ends: float = 0.0
    weights: int = 0
    sentence: bool = False


def work(signal: Signal, samples: Sequence[Sample], by: Reader) -> Amounts:
    """Kind of work -> how much of it a signal is on these samples.

    Tokens of work (see `core.estimates`) in `reading`, `answer token`, `prompting`, `pooling`,
    `sentence embedding`, `gradients`; tokens in `sampling`, rounds of one token in `steps`,
    numbers in `coordinates`. A signal that is none of the product's own counts as reading.
    """
    if isinstance(signal, AnswerToken):
        asked = by.counter.asked(samples, signal.wording)
        read = asked[asked <= by.longest] - by.counter.start(samples, "chat")
        return {"answer token": by.cost.of(np.maximum(read, 1))}
    if isinstance(signal, Answers):
        return _sampling(signal, samples, by)
    if isinstance(signal, AnswerVectors):
        return {"pooling": _answers_read(signal, samples, by)}
    if isinstance(signal, Embedding):
        tokens = np.minimum(by.counter.text(samples, signal.text), by.longest)
        return {"sentence embedding" if by.sentence else "pooling": by.cost.of(tokens)}
    if isinstance(signal, Gradient):
        taken = by.weights * float(len(samples))
        return {"gradients": trained(samples, signal.template, by), "coordinates": taken}
    whole, answer = _scored(samples, signal.template, by)
    read = np.where(whole > 0, whole - by.counter.start(samples, signal.template), 0)
    return {"reading": by.cost.of(np.maximum(read, answer), answer)}


def _scored(samples: Sequence[Sample], template: Template, by: Reader) -> tuple[IntN, IntN]:
    """Tokens of text and response, zero where the text is too long."""
    whole, answer = by.counter.whole(samples, template), by.counter.answer(samples, template)
    fits = whole <= by.longest
    return whole * fits, answer * fits


def trained(samples: Sequence[Sample], template: Template, by: Reader) -> float:
    """Tokens of work of a forward and a backward pass."""
    whole, answer = _scored(samples, template, by)
    return by.cost.of(whole, answer, BACKWARD)


def _sampling(signal: Answers, samples: Sequence[Sample], by: Reader) -> Amounts:
    """Prompts are read once; all answers of a block grow together, a token a step."""
    drawn = signal.sampling
    whole, answer = (f(samples, signal.template) for f in (by.counter.whole, by.counter.answer))
    n, block = len(samples), min(signal.per_block, len(samples))
    rounds = longest(by.ends, drawn.max_new_tokens, block * drawn.k)
    return {
        "prompting": by.cost.of(np.maximum(whole - answer, 1)),
        "sampling": n * drawn.k * sampled(by.ends, drawn.max_new_tokens),
        "steps": n / max(block, 1) * rounds,
    }


def _answers_read(signal: AnswerVectors, samples: Sequence[Sample], by: Reader) -> float:
    drawn = signal.answers.sampling
    said = sampled(by.ends, drawn.max_new_tokens)
    before = by.counter.text(samples, "instruction") if signal.span == "full" else 0
    each = np.zeros(len(samples)) + said + before
    return drawn.k * by.cost.of(each)


def shown(signal: Signal, samples: Sequence[Sample], by: Reader) -> tuple[str, int]:
    """What progress counts, and how much of it: tokens, or samples."""
    if signal.per_block:
        return "samples", len(samples)
    if by.sentence:
        return "tokens", int(by.counter.text(samples, "conversation").sum())
    return "tokens", int(by.counter.whole(samples, signal.template).sum())
