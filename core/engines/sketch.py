"""Random sketches: a gradient of P numbers -> `width` numbers whose cosines are nearly the same.

A gradient comes in pieces, one for each weight of the adapter, in any order. What a sketch does
with a coordinate depends on seed, piece and place alone: it is the same for the pool, the query
set, every checkpoint and every device.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from core.engines import Sketch

if TYPE_CHECKING:
    import torch

BUFFER = 2**28  # bytes of unsketched gradients in memory at once
BLOCK = 128  # columns that one generator makes, as LESS asks TRAK for
CHUNK = 2**16  # rows of the dense matrix in memory at once


class Sketcher(Protocol):
    """Adds up the pieces of the gradients of a few samples."""

    rows: int  # samples at once, so that the gradients in memory stay within `BUFFER`

    def begin(self, n: int) -> "torch.Tensor":
        """An empty total for n samples."""
        ...

    def add(self, total: "torch.Tensor", piece: int, gradient: "torch.Tensor") -> None:
        """Add the coordinates (n, size) of one piece to the total, in place."""
        ...

    def finish(self, total: "torch.Tensor") -> "torch.Tensor":
        """The sketch (n, width) float32, not normalised."""
        ...


@lru_cache(maxsize=1)  # hundreds of MB for a large adapter, the same for all of a run
def sketcher(sketch: Sketch, sizes: tuple[int, ...], device: str) -> Sketcher:
    """The sketcher for gradients with pieces of these sizes."""
    kind = SparseSigns if sketch.kind == "sjlt" else DenseSigns
    return kind(sketch, sizes, device)


class SparseSigns:
    """SJLT with one entry a coordinate: it is added to one of `width` sums, by a random sign.

    E cos(Sx, Sy) = cos(x, y) with an error of about 1 / sqrt(width), in P additions.
    """

    def __init__(self, sketch: Sketch, sizes: tuple[int, ...], device: str) -> None:
        import torch

        self.width, self.device = sketch.width, device
        self.rows = max(1, BUFFER // (4 * max(sizes)))
        self.buckets = [
            torch.from_numpy(buckets(sketch.seed, piece, size, sketch.width)).to(device)
            for piece, size in enumerate(sizes)
        ]
        self.last = (-1, torch.empty(0, dtype=torch.int64))

    def begin(self, n: int) -> "torch.Tensor":
        """Sums of the coordinates with sign +, then of those with sign -."""
        import torch

        return torch.zeros(n, 2 * self.width, device=self.device)

    def add(self, total: "torch.Tensor", piece: int, gradient: "torch.Tensor") -> None:
        """See `Sketcher.add`."""
        if piece != self.last[0]:  # samples of one batch come one after the other
            self.last = (piece, self.buckets[piece].long())
        total.scatter_add_(1, self.last[1].expand(len(gradient), -1), gradient)

    def finish(self, total: "torch.Tensor") -> "torch.Tensor":
        """See `Sketcher.finish`."""
        return total[:, : self.width] - total[:, self.width :]


def buckets(seed: int, piece: int, size: int, width: int) -> NDArray[np.int32]:
    """Where each coordinate of a piece goes: (size,) in 0 .. 2 width - 1.

    k stands for sum k with sign +, width + k for sum k with sign -. The raw stream of Philox
    never changes with the version of numpy, unlike its `integers`.
    """
    key = np.array([seed, piece], np.uint64)
    words = np.random.Philox(key=key).random_raw(-(-size // 2)).astype("<u8")
    draws = words.view("<u4")[:size].astype(np.uint64)
    return np.asarray((draws * np.uint64(2 * width)) >> np.uint64(32), np.int32)


class DenseSigns:
    """The +-1 matrix of TRAK's BasicProjector, on the CPU: slow, for parity with LESS.

    The gradients are rounded to float16 before the product, as LESS does it; float16 has no
    room below 6e-8, so very small plain gradients suffer.
    """

    def __init__(self, sketch: Sketch, sizes: tuple[int, ...], device: str) -> None:
        self.sketch, self.n_weights = sketch, sum(sizes)
        self.starts = np.cumsum([0, *sizes]).tolist()
        self.rows = max(1, BUFFER // (2 * self.n_weights))

    def begin(self, n: int) -> "torch.Tensor":
        """The gradients themselves: the matrix is made by rows, in order."""
        import torch

        return torch.zeros(n, self.n_weights, dtype=torch.float16)

    def add(self, total: "torch.Tensor", piece: int, gradient: "torch.Tensor") -> None:
        """See `Sketcher.add`."""
        total[:, self.starts[piece] : self.starts[piece + 1]] = gradient.half().cpu()

    def finish(self, total: "torch.Tensor") -> "torch.Tensor":
        """See `Sketcher.finish`."""
        return dense_product(total, self.sketch.width, self.sketch.seed)


def dense_product(
    rows: "torch.Tensor", width: int, seed: int, block: int = BLOCK
) -> "torch.Tensor":
    """Rows (n, P) times the dense matrix (P, width), float32, unscaled."""
    import torch

    block = min(width, block)
    out = torch.zeros(len(rows), width)
    for start in range(0, width, block):
        columns = min(block, width - start)
        done = 0
        for signs in dense_block(rows.shape[1], block, seed + 1000 * (start // block)):
            part = rows[:, done : done + len(signs)].float()
            out[:, start : start + columns] += part @ signs[:, :columns]
            done += len(signs)
    return out


def dense_block(n_rows: int, columns: int, seed: int) -> "Iterator[torch.Tensor]":
    """The matrix of one generator (n_rows, columns), a few rows at a time.

    TRAK draws it with `bernoulli_`, which takes another way on processors of Intel; a uniform
    number below one half is what it draws everywhere else, and the golden numbers with it.
    """
    import torch

    chance = torch.Generator().manual_seed(seed)
    for done in range(0, n_rows, CHUNK):
        shape = (min(CHUNK, n_rows - done), columns)
        drawn = torch.rand(shape, dtype=torch.float64, generator=chance)
        yield (drawn < 0.5).float() * 2 - 1
