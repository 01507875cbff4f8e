"""An engine without a model, for tests of plumbing and for filling large stores.

Numbers come from hashes of the text: stable across machines, meaningless for people.
`SFTLENS_FAKE_DELAY_S` makes each sample take that long, so that a test can kill a run;
`SFTLENS_FAKE_ROOM_TOKENS` is all that its memory holds at once; with `SFTLENS_FAKE_KILLED` its
process is killed for more, as the system does it.
"""

import hashlib
import os
import re
import signal
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.engines import LETTERS, Pooling, Sampling, Sketch, Text, Wording
from core.engines.hardware import Precision
from core.models import Checkpoint
from core.templates import Template

WIDTH = 16  # of invented vectors
WORDS = ("sea", "tea", "one", "two", "three", "blue", "red", "because", "therefore", "7")


class FakeEngine:
    """See `core.engines.Engine`. `tried` False: without what tests ask for."""

    block_tokens = 512
    batch_tokens = 512

    def __init__(self, key: str = "fake", tried: bool = True) -> None:
        self.key = key
        self.checkpoint, self.precision = Checkpoint("fake", "", "", key), Precision("cpu", "fp32")
        asked = os.environ if tried else {}
        self.delay_s = float(asked.get("SFTLENS_FAKE_DELAY_S", "0"))
        self.room_tokens = int(asked.get("SFTLENS_FAKE_ROOM_TOKENS", self.batch_tokens))
        self.killed = bool(asked.get("SFTLENS_FAKE_KILLED"))

    def halve(self) -> bool:
        """See `Engine.halve`."""
        if self.batch_tokens == 1:
            return False
        self.batch_tokens //= 2
        return True

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Words of the whole conversation plus one a turn."""
        return np.array([sum(_words(t.content) for t in s.turns) for s in samples], np.int64)

    def response_lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Words of the response, and one for its end."""
        return np.array([_words(s.response) for s in samples], np.int64)

    def token_stats(
        self, samples: Sequence[Sample], template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Hashes as numbers: entropy in 0.2..3.2, NLL near it."""
        over_long = self._wait(samples, max_tokens)
        draws = np.array([self._draws(s) for s in samples]).reshape(-1, 2)
        entropy = np.where(over_long, np.nan, 0.2 + 3 * draws[:, 0])
        nll = np.where(over_long, np.nan, 0.8 * entropy + 0.6 * draws[:, 1])
        if template == "bare":  # mostly harder without the instruction
            nll = 1.3 * nll - 0.2
        n_tokens = self.response_lengths(samples, template)
        return {
            "nll": nll,
            "entropy": entropy,
            "n_tokens": n_tokens,
            "over_long": over_long,
            "vocabulary": np.full(len(samples), 1000),
        }

    def token_heat(
        self, sample: Sample, template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """A number a word and one for the end, around the sample's own means."""
        stats = self.token_stats([sample], template, max_tokens)
        parts = [*re.findall(r"\S+\s*", sample.response), "<end>"]
        if stats["over_long"][0]:
            parts = []
        chance = np.random.default_rng(_seed(self.key, sample.sample_id, template))
        wave = chance.uniform(0, 2, (2, len(parts)))
        wave *= len(parts) / np.maximum(wave.sum(1, keepdims=True), 1e-12)  # mean 1
        return {
            "text": np.array(parts, object),
            "turn": np.zeros(len(parts), np.int64),
            "nll": stats["nll"] * wave[0],
            "entropy": stats["entropy"] * wave[1],
        }

    def answer_token(
        self, samples: Sequence[Sample], wording: Wording, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """Four options where a sample says so; the likeliest is drawn from the hash."""
        over_long = self._wait(samples, max_tokens)
        choice = np.array(["options" in s.meta for s in samples], bool)
        draws = np.array([self._draws(s) for s in samples]).reshape(-1, 2)
        options = np.full((len(samples), LETTERS), np.nan, np.float32)
        for row in np.flatnonzero(choice & ~over_long).tolist():
            p = np.random.default_rng(_seed(self.key, samples[row].sample_id)).dirichlet([1.0] * 4)
            options[row, :4] = np.log(0.9 * p)
        found = choice & ~over_long
        predicted = np.full(len(samples), -1, np.int64)
        predicted[found] = np.nanargmax(options[found], axis=1) if found.any() else 0
        letters = [str(s.meta.get("answer_idx", "")) for s in samples]
        gold = np.array(["ABCD".find(x) if x else -1 for x in letters], np.int64)
        return {
            "entropy": np.where(over_long, np.nan, 3 * draws[:, 0]),
            "greedy": np.where(over_long, -1, (draws[:, 1] * 1000).astype(np.int64)),
            "choice": choice,
            "predicted": predicted,
            "gold": gold,
            "options": options,
            "over_long": over_long,
        }

    def answers(
        self, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """A few words out of ten, drawn by the hash of seed, id and answer."""
        over_long = self._wait(samples, max_tokens)
        shape = (len(samples), sampling.k)
        text, n_tokens = np.full(shape, b"", "S256"), np.zeros(shape, np.int32)
        for i in np.flatnonzero(~over_long).tolist():
            for j in range(sampling.k):
                chance = np.random.default_rng(
                    _seed(self.key, sampling.seed, samples[i].sample_id, j)
                )
                words = chance.choice(WORDS, chance.integers(1, 9)).tolist()
                text[i, j], n_tokens[i, j] = " ".join(words).encode(), len(words) + 1
        return {
            "text": text,
            "n_tokens": n_tokens,
            "ended": n_tokens > 0,
            "over_long": over_long,
        }

    def answer_vectors(
        self,
        samples: Sequence[Sample],
        texts: NDArray[Any],
        pooling: Pooling,
        span: Literal["answer", "full"],
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """A common direction plus noise from the text."""
        self._wait(samples, max_tokens)
        filled = np.char.str_len(texts) > 0
        vector = np.zeros((*texts.shape, WIDTH))
        for i, j in np.argwhere(filled):
            vector[i, j] = 1 + 0.4 * _normal(texts[i, j], pooling.kind, span)
        vector /= np.linalg.norm(vector, axis=-1, keepdims=True) + 1e-12
        gram = vector @ vector.swapaxes(1, 2)
        return {"vector": vector.astype(np.float16), "gram": gram, "filled": filled}

    def embeddings(
        self, samples: Sequence[Sample], text: Text, pooling: Pooling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """One direction a source, plus noise from the text."""
        self._wait(samples, max_tokens)
        rows = [_normal(s.source) + 0.6 * _normal(s.sample_id, text, pooling.kind) for s in samples]
        vector = np.array(rows, np.float32).reshape(-1, WIDTH)
        empty = np.array([not s.instruction.strip() for s in samples], bool)
        vector[empty] = 0
        vector /= np.linalg.norm(vector, axis=1, keepdims=True) + 1e-12
        return {"vector": vector, "empty": empty}

    def gradients(
        self,
        samples: Sequence[Sample],
        template: Template,
        sketch: Sketch,
        adam: bool,
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """One direction a source, a little from the checkpoint, noise from the text."""
        stats = self.token_stats(samples, template, max_tokens)
        rows = [
            np.resize(
                _normal(s.source) + 0.3 * _normal(self.key) + 0.6 * _normal(s.sample_id, adam),
                sketch.width,
            )
            for s in samples
        ]
        gradient = np.array(rows, np.float32).reshape(-1, sketch.width)
        norm = np.linalg.norm(gradient, axis=1)
        gradient /= norm[:, None] + 1e-12
        unscored = stats["over_long"] | (stats["n_tokens"] == 0)
        gradient[unscored], norm[unscored] = 0, 0
        del stats["entropy"], stats["vocabulary"]
        return stats | {"gradient": gradient.astype(np.float16), "norm": norm.astype(np.float32)}

    def _wait(self, samples: Sequence[Sample], max_tokens: int) -> NDArray[np.bool_]:
        """Take the time that a test asks for; returns which samples are over-long."""
        if self.batch_tokens > self.room_tokens:
            if self.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError(f"Unable to allocate {self.batch_tokens} tokens")
        time.sleep(self.delay_s * len(samples))
        return self.lengths(samples, "chat") > max_tokens

    def _draws(self, sample: Sample) -> tuple[float, float]:
        """Two numbers in 0..1: most of it from the text, a little from the checkpoint."""
        shared = _unit(sample.sample_id)
        own = _unit(self.key + sample.sample_id)
        return 0.9 * shared[0] + 0.1 * own[0], 0.9 * shared[1] + 0.1 * own[1]


def _words(text: str) -> int:
    return len(text.split()) + 1


def _unit(text: str) -> tuple[float, float]:
    digest = hashlib.sha256(text.encode("utf8", "surrogatepass")).digest()
    return tuple(int.from_bytes(digest[k : k + 8]) / 2**64 for k in (0, 8))  # type: ignore[return-value]


def _seed(*parts: object) -> int:
    return int(_unit(repr(parts))[0] * 2**52)


def _normal(*parts: object) -> NDArray[np.float64]:
    """WIDTH normal numbers that depend on the parts alone."""
    return np.random.default_rng(_seed(*parts)).normal(size=WIDTH)
