"""Which engine measures with a checkpoint."""

from core.engines import Engine
from core.engines.hardware import Precision
from core.models import Checkpoint


def load(checkpoint: Checkpoint, precision: Precision) -> Engine:
    """Make the engine for a checkpoint; the weights are read on first use."""
    if not checkpoint.folder:
        from core.engines.fake import FakeEngine

        return FakeEngine(checkpoint.key)
    if checkpoint.kind == "sentence":
        from core.engines.sentence import SentenceEngine

        return SentenceEngine(checkpoint, precision)
    from core.engines.hf import HFEngine

    return HFEngine(checkpoint, precision)
