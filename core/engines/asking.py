"""The requests for the k answers of one sample, which tokens each has, and what became of all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.engines import Sampling, draws
from core.engines.background import together
from core.engines.chat import Chat
from core.engines.manner import Manner
from core.engines.replies import Reply, Said

CHARACTERS = 4  # of a token, a guess where nothing better is told


@dataclass
class Counts:
    """What became of what was asked for; every sample is in one of the first three."""

    drawn: int = 0
    too_long: int = 0
    refused: int = 0
    empty: int = 0  # answers without content, of samples that were drawn
    guessed: int = 0  # replies whose tokens the server did not count
    again: int = 0  # requests that were sent once more

    @property
    def samples(self) -> int:
        """All of them."""
        return self.drawn + self.too_long + self.refused

    def told(self) -> str:
        """As a person says it."""
        parts = [f"{self.drawn:,} of {self.samples:,} samples"]
        parts += [f"{self.too_long:,} longer than the limit"] if self.too_long else []
        parts += [f"{self.refused:,} refused"] if self.refused else []
        parts += [f"{self.empty:,} answers without content"] if self.empty else []
        parts += [f"{self.again:,} requests tried again"] if self.again else []
        parts += ["tokens guessed from characters"] if self.guessed else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Row:
    """k answers to a sample, or why there are none."""

    text: tuple[bytes, ...]
    n_tokens: tuple[int, ...]
    ended: tuple[bool, ...]
    over_long: bool = False
    refused: bool = False


@dataclass(frozen=True)
class Ask:
    """The requests for the k answers of one sample."""

    chat: Chat
    how: Manner
    messages: Sequence[dict[str, str]]
    sampling: Sampling
    sample_id: str

    async def replies(self) -> list[Reply]:
        """Replies with k answers in all.

        A server that gives fewer than k to a request is asked for the others one by one.
        """
        k = self.sampling.k
        if not self.how.several:
            return await together(self._one(j) for j in range(k))
        first = _cut(await self._sent(self.how, 0), k)
        more = await together(self._one(j) for j in range(len(first.said), k))
        return [first, *more]

    async def _one(self, j: int) -> Reply:
        """Answer j alone."""
        return _cut(await self._sent(replace(self.how, several=False), j), 1)

    async def _sent(self, how: Manner, j: int) -> Reply:
        seed = draws.key(self.sampling.seed, self.sample_id, j) & 0x7FFFFFFF  # as all servers take
        return await self.chat.complete(how.body(self.chat.at, self.messages, self.sampling, seed))


def _cut(reply: Reply, most: int) -> Reply:
    """Without the answers that nobody asked for, and their share of the tokens."""
    if len(reply.said) <= most:
        return reply
    kept = sum(dealt(reply.tokens, reply.said)[:most]) if reply.tokens is not None else None
    return replace(reply, said=reply.said[:most], tokens=kept)


def dealt(tokens: int | None, said: Sequence[Said]) -> list[int]:
    """A count of tokens dealt out by length; the parts add up to it. None: guessed."""
    sizes = [len(s.text.encode("utf8", "replace")) + s.ended for s in said]
    if tokens is None:
        return [-(-size // CHARACTERS) for size in sizes]
    upto = np.cumsum([0, *[max(size, 1) for size in sizes]])
    return [int(n) for n in np.diff(upto * tokens // max(int(upto[-1]), 1))]
