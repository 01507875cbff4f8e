"""How a server wants to be asked for k answers, found out before the first sample.

Some servers draw k answers to one request (`n`), some refuse that, some ignore it, and some draw
the same one k times. Some ignore temperature or seed: their answers never differ, and every
sample would look as if the model were sure of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.endpoints import Endpoint
from core.engines import Sampling
from core.engines.chat import Chat
from core.engines.refusals import Declined
from core.engines.replies import Reply
from core.errors import EndpointError

Messages = Sequence[Mapping[str, str]]

FIELDS = ("max_tokens", "max_completion_tokens")  # that bound an answer
SHORT: Messages = ({"role": "user", "content": "Say yes."},)
OPEN: Messages = ({"role": "user", "content": "Begin a story that nobody has told before."},)
LOOKED = 16  # tokens of such a beginning
WARM, WIDE = 0.5, 0.5  # temperature and top-p from which they differ, if they are drawn at all


@dataclass(frozen=True)
class Manner:
    """`several`: k answers to one request. `field`: the name of an answer's bound in tokens."""

    several: bool
    field: str

    def body(
        self, at: Endpoint, messages: Messages, sampling: Sampling, seed: int
    ) -> dict[str, Any]:
        """A request for one answer, or for k."""
        asked: dict[str, Any] = {
            "model": at.model,
            "messages": list(messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.field: sampling.max_new_tokens,
            "seed": seed,
        }
        return asked | ({"n": sampling.k} if self.several else {})


async def manner(chat: Chat, sampling: Sampling) -> Manner:
    """Ask a server twice, and learn.

    Raises:
        EndpointError: it takes no such requests, or does not sample.
    """
    found, reply = await _taken(chat, sampling)
    several = found.several and len(reply.said) == sampling.k
    look = Sampling(sampling.k, sampling.temperature, sampling.top_p, LOOKED, sampling.seed)
    if several and _differ(await _ask(chat, Manner(True, found.field), OPEN, look, 0)):
        return Manner(True, found.field)
    one = Manner(False, found.field)
    begun: list[str] = []
    for seed in range(sampling.seed, sampling.seed + 3):
        begun += await _ask(chat, one, OPEN, look, seed)
        if _differ(begun):
            return one
    if sampling.temperature >= WARM and sampling.top_p >= WIDE and any(begun):
        what = "gives the same answer under every seed, so it does not sample"
        do = "Let it: transformers serve needs do_sample in the model's generation_config.json."
        raise EndpointError(chat.at.url, what, got=begun[0], do=do)
    return one


async def well(chat: Chat, how: Manner, sampling: Sampling) -> bool:
    """Whether the server answers what it answered at first."""
    try:
        await chat.complete(how.body(chat.at, SHORT, sampling, sampling.seed))
    except (Declined, EndpointError):
        return False
    return True


async def _taken(chat: Chat, sampling: Sampling) -> tuple[Manner, Reply]:
    """The first manner that the server takes, with what it said.

    Raises:
        EndpointError: it takes none; its words on the plainest one.
    """
    words: list[str] = []
    for several in (True, False):
        for field in FIELDS:
            found = Manner(several, field)
            try:
                body = found.body(chat.at, SHORT, sampling, sampling.seed)
                return found, await chat.complete(body)
            except Declined as declined:
                words.append(declined.words)
    do = "Change what it names: --set NAME=VALUE, --answers-model, or the server's own settings."
    raise EndpointError(chat.at.url, "declines what it is asked", got=words[len(FIELDS)], do=do)


async def _ask(
    chat: Chat, how: Manner, messages: Messages, sampling: Sampling, seed: int
) -> list[str]:
    """Texts of the answers to one request.

    Raises:
        EndpointError: the server declines it, though it took another.
    """
    try:
        reply = await chat.complete(how.body(chat.at, messages, sampling, seed))
    except Declined as declined:
        what = "declines what it is asked"
        raise EndpointError(chat.at.url, what, got=declined.words) from None
    return [said.text.strip() for said in reply.said]


def _differ(texts: Sequence[str]) -> bool:
    return len(set(texts)) > 1
