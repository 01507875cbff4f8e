"""What to do when memory is short: halve what is read at once, and go on."""

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from core.errors import RunError

log = logging.getLogger(__name__)

# of a RuntimeError: how torch tells that the host or a card refused memory
SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "_ALLOC_FAILED",
)
FEWER = "Use fewer workers (--workers 1), a smaller --max-tokens, or --dtype bf16."
T = TypeVar("T")


class Halved(Protocol):
    """What can read less at once: an engine, a training."""

    @property
    def batch_tokens(self) -> int:
        """Padded tokens that are read at once."""
        ...

    def halve(self) -> bool:
        """Read half as much at once from now on; False where less makes no sense."""
        ...


def short(error: BaseException) -> bool:
    """Whether an error says that memory ran out, the host's or a card's."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def within(reader: Halved, name: str, ask: Callable[[], T], do: str = FEWER) -> T:
    """What `ask` gives, asked again with half the budget each time memory is short.

    The reader keeps the smaller budget. Batches of another shape change no number beyond
    rounding. `name` is what the lines speak of, `do` what a person can do at the end.

    Raises:
        RunError: memory is short with the smallest budget, too.
    """
    while True:
        try:
            return ask()
        except (MemoryError, RuntimeError) as error:
            if not short(error):
                raise
            if not reader.halve():
                what = "memory is short even for one sample at a time"
                raise RunError(name, what, do=do) from None
        # only here, where the error has let go of what the failed batch held
        log.warning("%s: out of memory; going on with %d tokens at once", name, reader.batch_tokens)
        _let_go()


@contextmanager
def told(name: str, what: str, do: str) -> Iterator[None]:
    """Where nothing can be halved: a lack of memory in the body as one sentence.

    Raises:
        RunError: memory was short.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not short(error):
            raise
        raise RunError(name, what, do=do) from None


def _let_go() -> None:
    """Give back what is no longer used, on a card too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
