"""Tokens of samples, counted by a tokenizer without any weights, or guessed from characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from core.domain import IntN, Sample
from core.engines import Engine, Text, Wording, loader
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.questions import before_answer, prompts, question
from core.models import Checkpoint
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


def tokens_of(checkpoint: Checkpoint, precision: Precision) -> Tokens:
    """Counts as a checkpoint does; of a sentence embedder, no more than the tokenizer is read."""
    sentence = checkpoint.kind == "sentence"
    engine = HFEngine(checkpoint, precision) if sentence else loader.load(checkpoint, precision)
    return Tokens(engine)


def spread(ids: Sequence[str], most: int) -> list[str]:
    """At most so many ids, evenly taken."""
    return [ids[k] for k in np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int)]
