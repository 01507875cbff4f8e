"""How much work a signal is on some samples, by kind, before anything is measured.

Tokens are counted by a tokenizer, without any weights, or guessed from characters. The same
count is behind the measured rates and behind the estimates, so that what it overlooks cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.counting import Counter
from core.domain import IntN, Sample
from core.estimates import BACKWARD, Amounts, Cost, longest, sampled
from core.signals import Answers, AnswerToken, AnswerVectors, Embedding, Gradient, Signal
from core.templates import Template


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
