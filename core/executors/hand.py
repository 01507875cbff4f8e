"""The parent's side of a Ray actor: ask it, give it a block."""

from dataclasses import dataclass
from typing import Any

from core.blocks import Block

MOST = 120  # letters of a reason
MEMORY = ("OutOfMemoryError", "OOM killer")


@dataclass(eq=False)
class Hand:
    """An actor from outside: what it was asked last, None where it is idle, and its block.

    `known`: it has said a word.
    """

    actor: Any
    asked: Any = None
    block: Block | None = None
    known: bool = False

    def greet(self) -> None:
        """Ask whether it is there, before a block is risked on it."""
        self.asked = self.actor.hello.remote()

    def give(self, block: Block, message: bytes) -> None:
        """Hand a block over."""
        self.block, self.asked = block, self.actor.measure.remote(message)


def how(error: Exception) -> str:
    """The last line of what Ray says of an actor's end, cut where it grows long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:MOST] if lines else type(error).__name__


def maybe_short(error: Exception) -> bool:
    """Whether memory may have run out where an actor was: Ray ended it, or it went without a word.

    Ray does not tell a process that the system killed from one that crashed.
    """
    return any(sign in f"{type(error).__name__}: {error}" for sign in MEMORY)
