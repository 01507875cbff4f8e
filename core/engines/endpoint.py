"""Answers drawn by an OpenAI-compatible server: vLLM, SGLang, transformers serve, llama.cpp, ...

The server writes the prompt by its own chat template and draws with the temperature, top-p, bound
and seeds of the signal; what it adds of its own (a top-k, a repetition penalty) is not seen from
here. Only texts come back, and texts are all that vectors of answers are made from: the run's own
model reads them. Tokens are the server's own count; of k answers to one request it counts the sum
alone, which is dealt out by length, so that a sample's mean is right.
"""

import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN, Sample, content_hash
from core.endpoints import Endpoint
from core.engines import Sampling
from core.engines.asking import CHARACTERS, Ask, Counts, Row, dealt
from core.engines.background import together
from core.engines.chat import Patience
from core.engines.hardware import Precision
from core.engines.limited import Limited
from core.engines.line import Line
from core.engines.manner import Manner, well
from core.engines.refusals import Declined, ServerFault
from core.engines.replies import Reply
from core.errors import EndpointError
from core.models import Checkpoint
from core.templates import Template, before_last_response

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 1  # raise it when the same server would be asked otherwise
THERE = Precision("server", "own")  # the format of its numbers is not known here
BYTES = 256  # of a token at most; a server that sends more ignores the bound
SEE = "See what it says; what was drawn is kept."
SHOWN, MANY = 3, 16  # samples refused: so many are shown, after so many it is no accident


class EndpointEngine(Limited):
    """A server that answers, and does nothing else. It opens by itself; it is closed once."""

    kind = "a server of answers"
    block_tokens = 2048

    def __init__(self, at: Endpoint, patience: Patience | None = None) -> None:
        self.at, self.patience = at, patience or Patience()
        self.checkpoint, self.precision = checkpoint(at), THERE
        self.counts, self.several = Counts(), False
        self._lock, self._closed = threading.Lock(), False
        self._line: Line | None = None

    @property
    def batch_tokens(self) -> int:
        """A block: what is read at once is the server's affair."""
        return self.block_tokens

    def halve(self) -> bool:
        """See `Engine.halve`; the memory is another machine's."""
        return False

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """By characters: the server's tokenizer is not here."""
        sizes = [sum(len(t.content) for t in s.turns) for s in samples]
        return np.array(sizes, np.int64) // CHARACTERS + 1

    def answers(
        self, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answers`; and `refused` (b,): the server would not answer.

        Several threads may ask at once, and share the bound on requests.

        Raises:
            EndpointError: the server cannot be used, or refused one sample after the other.
        """
        rows = self._wait(lambda line: self._rows(line, samples, sampling, max_tokens))
        shape = (len(rows), sampling.k)
        return {
            "text": np.array([r.text for r in rows], object).reshape(shape).astype(np.bytes_),
            "n_tokens": np.array([r.n_tokens for r in rows], np.int32).reshape(shape),
            "ended": np.array([r.ended for r in rows], bool).reshape(shape),
            "over_long": np.array([r.over_long for r in rows], bool),
            "refused": np.array([r.refused for r in rows], bool),
        }

    def told(self) -> str:
        """What became of everything that was asked for, in one line."""
        self.counts.again = self._line.chat.retries if self._line is not None else 0
        how = "all answers of a sample at once" if self.several else "one answer a request"
        return f"{self.at.host} answered {self.counts.told()}, {how}"

    def close(self) -> None:
        """Give up what is under way, and close the connections."""
        with self._lock:  # what was begun before this is ended by it, and nothing comes after
            done, self._closed = self._closed, True
        if not done and self._line is not None:
            self._line.close()

    def _wait(self, work: Callable[[Line], Coroutine[Any, Any, T]]) -> T:
        """Do something on the loop, and wait for it."""
        with self._lock:
            if self._closed:
                raise EndpointError(self.at.url, "the conversation was closed")
            if self._line is None:
                self._line = Line(self.at, self.patience)
            going = self._line.loop.begin(work(self._line))
        return going.result()

    async def _rows(
        self, line: Line, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
    ) -> list[Row]:
        how = await line.manner(sampling)
        self.several = how.several
        return await together(self._row(line, how, s, sampling, max_tokens) for s in samples)

    async def _row(
        self, line: Line, how: Manner, sample: Sample, sampling: Sampling, max_tokens: int
    ) -> Row:
        """The answers to one sample."""
        turns = before_last_response(sample)
        messages = [{"role": t.role, "content": t.content} for t in turns]
        ask = Ask(line.chat, how, messages, sampling, sample.sample_id)
        nothing = Row((b"",) * sampling.k, (0,) * sampling.k, (False,) * sampling.k)
        try:
            replies = await ask.replies()
        except (Declined, ServerFault) as why:  # a chat template that fails on these turns, say
            if not why.too_long and not await well(line.chat, how, sampling):
                raise self._unwell(why) from None
            self._unanswered(sample, why)
            return replace(nothing, over_long=why.too_long, refused=not why.too_long)
        read = max((r.prompt_tokens or 0 for r in replies), default=0)
        if read + sampling.max_new_tokens > max_tokens:
            self.counts.too_long += 1
            return replace(nothing, over_long=True)
        return self._drawn(replies, sampling)

    def _unwell(self, why: Declined | ServerFault) -> EndpointError:
        """What is wrong where it is not about one sample: no credit left, a model unloaded."""
        if isinstance(why, ServerFault):
            return why
        what = "declines what it took at first"
        return EndpointError(self.at.url, what, got=why.words, do=SEE)

    def _drawn(self, replies: Sequence[Reply], sampling: Sampling) -> Row:
        said = [s for reply in replies for s in reply.said]
        text = tuple(s.text.strip().encode("utf8", "replace") for s in said)
        if max(map(len, text)) > BYTES * (sampling.max_new_tokens + 1):
            what = "sends answers far longer than asked for"
            raise EndpointError(self.at.url, what, do="Use a server that bounds its answers.")
        self.counts.drawn += 1
        self.counts.empty += sum(not t for t in text)
        self.counts.guessed += sum(r.tokens is None for r in replies)
        tokens = [n for reply in replies for n in dealt(reply.tokens, reply.said)]
        return Row(text, tuple(tokens), tuple(s.ended for s in said))

    def _unanswered(self, sample: Sample, why: Declined | ServerFault) -> None:
        """Count a sample that the server would not answer; many refusals are no accident."""
        c = self.counts
        if why.too_long:
            c.too_long += 1
            return
        c.refused += 1
        if c.refused <= SHOWN:
            name, words = sample.sample_id[:8], str(why)[:120]
            log.warning("%s refuses sample %s: %r", self.at.host, name, words)
        if c.refused >= MANY and c.refused > c.samples / 4:
            what = f"refused {c.refused:,} of {c.samples:,} samples"
            raise EndpointError(self.at.url, what, got=str(why), do=SEE)


def checkpoint(at: Endpoint) -> Checkpoint:
    """The source of the answers as cards and keys know it: by address and name of the model."""
    key = content_hash(["endpoint", VERSION, at.url, at.model])
    return Checkpoint(at.model, at.url, "", key, "server")
