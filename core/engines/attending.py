"""Attention and its gradient by plain products, some queries at a time.

With queries q (scaled), keys k and values v of one head, z = q k^T where a query sees a key:

    p = softmax(z)            o = p v
    dv = p^T do               dp = do v^T              dz = p (dp - sum(p dp))
    dq = dz k                 dk = dz^T q

and with a soft cap c, z = c tanh(y / c) of y = q k^T, dy = dz (1 - (z / c)^2). The queries of all
heads that share a key stand below each other, position by position, so that the products are
large and the gradients of what is shared are added up by them. Keys behind the last query of a
block are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

QUERIES = 128  # positions at a time: a block of a small model's probabilities stays in L2
KEEP = 1024  # in a longer sequence probabilities are made again, not kept


@dataclass
class Heads:
    """Queries, keys and values of n key heads, ready for products; what their gradient needs.

    `q` (n, t * shared, w) turned and scaled, `k` and `v` (n, t, w). `p` are the probabilities of
    each block of queries, if they are kept.
    """

    q: "torch.Tensor"
    k: "torch.Tensor"
    v: "torch.Tensor"
    window: int
    softcap: float
    p: "list[torch.Tensor]" = field(default_factory=list)

    @property
    def shared(self) -> int:
        """Queries to a key."""
        return self.q.shape[1] // self.k.shape[1]

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Rows of `q`, and the positions of all keys that one of them sees."""
        for start in range(0, self.k.shape[1], QUERIES):
            end = min(start + QUERIES, self.k.shape[1])
            first = max(0, start + 1 - self.window) if self.window else 0
            yield slice(start * self.shared, end * self.shared), slice(first, end)


def attend(heads: Heads) -> "torch.Tensor":
    """Values mixed by attention, (n, t * shared, w)."""
    import torch

    out = []
    keep = heads.k.shape[1] <= KEEP and not heads.softcap
    for rows, keys in heads.blocks():
        p = _cosines(heads, rows, keys).softmax(2)
        out.append(torch.bmm(p, heads.v[:, keys]))
        if keep:
            heads.p.append(p)
    return torch.cat(out, 1) if len(out) > 1 else out[0]


def backward(
    heads: Heads, d_out: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Gradients of `q`, `k` and `v` from that of the mixed values (n, t * shared, w)."""
    import torch

    dq, dk, dv = (torch.zeros_like(x) for x in (heads.q, heads.k, heads.v))
    for number, (rows, keys) in enumerate(heads.blocks()):
        if heads.p:
            z, p = None, heads.p[number]
        else:
            z = _cosines(heads, rows, keys)
            p = z.softmax(2)
        dv[:, keys] += torch.bmm(p.mT, d_out[:, rows])
        dp = torch.bmm(d_out[:, rows], heads.v[:, keys].mT)
        dz = torch._softmax_backward_data(dp, p, 2, p.dtype)
        if heads.softcap and z is not None:
            slope = (z.clamp_(-heads.softcap, heads.softcap) / heads.softcap).square_()
            dz -= slope.mul_(dz)
        dq[:, rows] = torch.bmm(dz, heads.k[:, keys])
        dk[:, keys] += torch.bmm(dz.mT, heads.q[:, rows])
    return dq, dk, dv


def _cosines(heads: Heads, rows: slice, keys: slice) -> "torch.Tensor":
    """What the softmax is taken of: (n, rows, keys), -inf where a query does not see a key."""
    import torch

    z = torch.bmm(heads.q[:, rows], heads.k[:, keys].mT)
    if heads.softcap:
        z = z.div_(heads.softcap).tanh_().mul_(heads.softcap)
    start = rows.start // heads.shared
    first = keys.start if heads.window else start  # without a window, all see what is before them
    shape = (start - first, keys.stop - first, heads.window, heads.shared)
    z[:, :, first - keys.start :] += _mask(*shape, z.device.type, z.dtype)
    return z


@lru_cache(maxsize=16)
def _mask(
    start: int, end: int, window: int, shared: int, device: str, dtype: "torch.dtype"
) -> "torch.Tensor":
    """0 where queries `start` to `end` see keys 0 to `end`, -inf elsewhere."""
    import torch

    query = torch.arange(start, end, device=device).repeat_interleave(shared)[:, None]
    behind = query - torch.arange(end, device=device)
    hidden = (behind < 0) | (behind >= (window or end))
    return torch.zeros(hidden.shape, device=device, dtype=dtype).masked_fill_(hidden, -torch.inf)
