"""Which engine measures with a checkpoint."""

from typing import Protocol

from core.engines import Engine
from core.engines.hardware import Precision
from core.models import Checkpoint


class Loadable(Engine, Protocol):
    """An engine that says what it was made of, so that another process can make the same one."""

    checkpoint: Checkpoint
    precision: Precision


def load(checkpoint: Checkpoint, precision: Precision) -> Loadable:
    """Make the engine for a checkpoint; the weights are read on first use."""
    if not checkpoint.folder:
        from core.engines.fake import FakeEngine

        return FakeEngine(checkpoint.key)
    if checkpoint.kind == "sentence":
        from core.engines.sentence import SentenceEngine

        return SentenceEngine(checkpoint, precision)
    from core.engines.hf import HFEngine

    return HFEngine(checkpoint, precision)
