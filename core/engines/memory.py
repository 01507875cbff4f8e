"""What to do when memory is short: halve what is read at once, and go on."""

import gc
import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from core.engines.loader import Loadable
from core.errors import RunError

log = logging.getLogger(__name__)

# of a RuntimeError: how torch tells that the host or a card refused memory
SIGNS = ("out of memory", "can't allocate memory", "std::bad_alloc", "_ALLOC_FAILED")
T = TypeVar("T")


def short(error: BaseException) -> bool:
    """Whether an error says that memory ran out, the host's or a card's."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def within(engine: Loadable, measure: Callable[[], T]) -> T:
    """What `measure` gives, asked again with half the budget each time memory is short.

    The engine keeps the smaller budget. Batches of another shape change no number beyond
    rounding.

    Raises:
        RunError: memory is short with the smallest budget, too.
    """
    while True:
        try:
            return measure()
        except (MemoryError, RuntimeError) as error:
            if not short(error):
                raise
            if not engine.halve():
                what = "memory is short even for one sample at a time"
                do = "Use fewer workers (--workers 1), a smaller --max-tokens, or --dtype bf16."
                raise RunError(engine.checkpoint.name, what, do=do) from None
        # only here, where the error has let go of what the failed batch held
        said = "%s: out of memory; going on with %d tokens at once"
        log.warning(said, engine.checkpoint.name, engine.batch_tokens)
        _let_go()


def _let_go() -> None:
    """Give back what is no longer used, on a card too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
