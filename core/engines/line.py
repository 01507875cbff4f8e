"""An open conversation with a server, and the name of its model."""

import asyncio
from dataclasses import replace

from core.endpoints import Endpoint
from core.engines import Sampling
from core.engines.background import Background
from core.engines.chat import Chat, Patience
from core.engines.manner import Manner, manner
from core.errors import EndpointError


class Line:
    """An open conversation; all but its start runs on the loop behind it."""

    def __init__(self, at: Endpoint, patience: Patience) -> None:
        self.chat = Chat(at, patience)  # first, as it may refuse
        self.loop = Background()
        self._manners: dict[Sampling, Manner] = {}
        self._finding = asyncio.Lock()

    async def manner(self, sampling: Sampling) -> Manner:
        """How the server wants to be asked; found out once."""
        async with self._finding:
            if sampling not in self._manners:
                self._manners[sampling] = await manner(self.chat, sampling)
            return self._manners[sampling]

    def close(self) -> None:
        """End it, and whatever goes on."""
        self.loop.close(self.chat.close())


def named(at: Endpoint, patience: Patience | None = None) -> Endpoint:
    """The endpoint with the name of its model; a server that has one alone is asked for it.

    Raises:
        EndpointError: it cannot be reached, or has none, or several.
    """
    if at.model:
        return at
    line = Line(at, patience or Patience())
    try:
        there = line.loop.begin(line.chat.models()).result()
    finally:
        line.close()
    if len(there) == 1:
        return replace(at, model=there[0])
    what = f"has {len(there):,} models" if there else "does not tell which models it has"
    do = f"Name one with --answers-model{': ' if there else ''}{', '.join(there[:5])}."
    raise EndpointError(at.url, what, do=do)
