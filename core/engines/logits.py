"""NLL and entropy of logits in one pass over vocabulary blocks.

With m the running maximum, S = sum exp(z - m) and D = sum exp(z - m) (z - m):
NLL = ln S + m - z_y and H = ln S - D / S. A new block with a larger maximum rescales S and D,
so no array of (positions, vocabulary) is ever needed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROWS = 256  # positions at a time: with VOCAB below, a float32 block of 2 MB stays in L2
VOCAB = 2048
ON_CARD = 8  # times as many of both: a card is busy with few, large products
FLOOR = -1e30  # stands for -inf, so that 0 * -inf never happens (0 ln 0 = 0)


def nll_entropy(
    blocks: "Iterable[torch.Tensor]", targets: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Reduce logit blocks to NLL and entropy per position, in nats.

    Args:
        blocks: (r, b) logits; side by side they are the whole vocabulary, in order.
        targets: (r,) the token that came.

    Returns: nll (r,), entropy (r,), float32. Logits of -inf count as probability 0, so the
    NLL of such a token is inf.
    """
    import torch

    r = len(targets)
    top = torch.full((r,), FLOOR, dtype=torch.float32, device=targets.device)
    total = torch.zeros_like(top)  # S
    spread = torch.zeros_like(top)  # D
    chosen = torch.full_like(top, FLOOR)  # z_y
    start = 0
    for block in blocks:
        z = (
            block.float().clamp_(min=FLOOR)
            if block.dtype != torch.float32
            else (block.clamp(min=FLOOR))
        )
        inside = (targets >= start) & (targets < start + z.shape[1])
        column = (targets - start).clamp(0, z.shape[1] - 1)[:, None]
        chosen = torch.where(inside, z.gather(1, column)[:, 0], chosen)
        new_top = torch.maximum(top, z.amax(1))
        shift = top - new_top
        shrink = shift.exp()
        z -= new_top[:, None]
        e = z.exp()
        spread = shrink * (spread + shift * total) + z.mul_(e).sum(1)
        total = shrink * total + e.sum(1)
        top = new_top
        start += block.shape[1]
    log_total = total.log()
    surprise = torch.where(chosen > FLOOR, top - chosen, torch.inf)  # exact where logits are large
    return surprise + log_total, (log_total - spread / total).clamp_(min=0)


@dataclass(frozen=True)
class Head:
    """The output matrix `weight` (V, d), `bias` (V,) or None, and a soft cap on logits, 0 for none.

    A cap makes z into cap * tanh(z / cap).
    """

    weight: "torch.Tensor"
    bias: "torch.Tensor | None" = None
    cap: float = 0.0

    def blocks(self, hidden: "torch.Tensor") -> "Iterator[torch.Tensor]":
        """Yield (r, VOCAB) logits of `hidden` (r, d), in its number format."""
        import torch

        width = VOCAB * (ON_CARD if hidden.is_cuda else 1)
        for start in range(0, len(self.weight), width):
            rows = slice(start, start + width)
            bias = None if self.bias is None else self.bias[rows].to(hidden.dtype)
            block = torch.nn.functional.linear(hidden, self.weight[rows].to(hidden.dtype), bias)
            yield block.div_(self.cap).tanh_().mul_(self.cap) if self.cap else block


def stats(
    head: Head, hidden: "torch.Tensor", targets: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """NLL and entropy (r,) of `targets` (r,) after hidden states (r, d), a few rows at a time."""
    import torch

    rows = ROWS * (ON_CARD if hidden.is_cuda else 1)
    parts = [
        nll_entropy(head.blocks(h), y)
        for h, y in zip(hidden.split(rows), targets.split(rows), strict=True)
    ]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
