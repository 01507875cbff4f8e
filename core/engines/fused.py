"""The head by Liger's kernel on cards that have one: logits never reach the card's memory.

Used where `liger-kernel` is installed and the card is a Hopper in bfloat16 (its kernel for NLL and
entropy is made for that), and only while it says what the blocks of `core.engines.logits` say.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from core.engines.logits import Head, stats

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

CHECKED = 64  # rows of each batch that are measured both ways
CLOSE = 0.02  # nats; both round in bfloat16, each in its own order


def head_stats(
    head: Head, hidden: "torch.Tensor", targets: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """NLL and entropy (r,) of `targets` (r,) after hidden states (r, d), by what is quickest."""
    import torch

    if head.bias is not None or head.cap or not len(hidden) or not _fits(hidden):
        return stats(head, hidden, targets)
    found = _liger()(hidden, head.weight, targets, 1.0, -100, 1, True)
    right = stats(head, hidden[:CHECKED], targets[:CHECKED])
    if all(
        torch.allclose(a[:CHECKED].float(), b, rtol=0, atol=CLOSE)
        for a, b in zip(found, right, strict=True)
    ):
        return found[0].float(), found[1].float()
    log.warning("Liger's head does not say what ours does: not used for these samples")
    return stats(head, hidden, targets)


def _fits(hidden: "torch.Tensor") -> bool:
    import torch

    if not hidden.is_cuda or hidden.dtype != torch.bfloat16 or _liger() is None:
        return False
    return torch.cuda.get_device_capability(hidden.device) == (9, 0)


@cache
def _liger() -> Any:
    """Liger's function of hidden states, weight and targets; None where it is not installed."""
    try:
        from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction
    except ImportError:
        return None
    return LigerFusedLinearScaledCrossEntropyFunction.apply
