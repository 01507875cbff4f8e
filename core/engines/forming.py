"""Per-sample gradients of an adapter's weights, formed from what goes in and out of its layers.

With the adapter, a layer computes x W^T + scale (x A^T) B^T. For a sample whose tokens have
inputs x_t and gradients g_t of the outputs,

    dL/dB = scale sum_t g_t (A x_t)^T        dL/dA = scale sum_t (B^T g_t) x_t^T

Adam's step is elementwise, so it is taken before the sketch. One weight's gradients of a few
samples are in memory, few enough to stay in the cache of a processor.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.adapters import Adapter
from core.engines.pieces import Piece
from core.engines.sketch import Sketcher

if TYPE_CHECKING:
    import torch

Formed = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]  # sketch, norm, NLL
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # EPSILON inside the root, no bias correction (LESS)
CACHED = 2**17  # numbers of gradients on a processor at once


def adam_direction(
    gradient: "torch.Tensor", exp_avg: "torch.Tensor", exp_avg_sq: "torch.Tensor"
) -> "torch.Tensor":
    """Adam's step from these moments, elementwise in float32; see `Engine.gradients`.

    The same as `core.influence.adam_direction`, with fewer arrays on the way: the gradient's own
    memory holds the answer.
    """
    import torch

    root = (BETA_2 * exp_avg_sq).add_(EPSILON)
    root = torch.addcmul(root, gradient, gradient, value=1 - BETA_2).sqrt_()
    return gradient.mul_(1 - BETA_1).add_(exp_avg, alpha=BETA_1).div_(root)


class Former:
    """Adds each sample's gradient to its sketch, weight by weight.

    At the end `total` is the sketcher's total and `squares` (n,) the squared norms, float64.
    """

    def __init__(
        self, adapter: Adapter, pieces: Sequence[Piece], into: Sketcher, adam: bool
    ) -> None:
        import torch

        self.adapter, self.pieces, self.into, self.adam = adapter, pieces, into, adam
        self.number = {name: k for k, name in enumerate(adapter.modules)}
        self.total = into.begin(pieces[-1].samples.stop)
        device = adapter.tensors[f"{adapter.modules[0]}.A"].device
        self.squares = torch.zeros(len(self.total), dtype=torch.float64, device=device)

    def sketch(self) -> NDArray[np.float32]:
        """The sketches (n, width), when all weights are formed."""
        return np.asarray(self.into.finish(self.total).cpu().numpy())

    def norm(self) -> NDArray[np.float32]:
        """Norms (n,) of the gradients themselves."""
        return np.asarray(self.squares.sqrt().float().cpu().numpy())

    def form(
        self, name: str, x: "torch.Tensor", g: "torch.Tensor", norm: "torch.Tensor | None" = None
    ) -> None:
        """Add the gradients of one adapted layer.

        Args:
            name: the layer's, as in the adapter.
            x: (r, in) its inputs, less the `norm` (in,) that was folded away.
            g: (r, out) gradients of its outputs.
            norm: what x is to be multiplied by.
        """
        scale = self.adapter.scale
        a, b = (self.adapter.tensors[f"{name}.{kind}"] * scale for kind in "AB")
        if norm is not None:
            a *= norm.float()
        # a product of few rows and many columns is several times as quick as its transpose
        self._weight(name, "A", b.to(g.dtype).T @ g.T, x, norm)
        self._weight(name, "B", a.to(x.dtype) @ x.T, g, None)

    def _weight(
        self,
        name: str,
        kind: str,
        narrow: "torch.Tensor",
        wide: "torch.Tensor",
        norm: "torch.Tensor | None",
    ) -> None:
        """Add the gradients of A or B: sums over tokens of `narrow` (rank, r) times `wide` (r, c).

        These are (rank, c), the transpose of B.
        """
        size = len(narrow) * wide.shape[1]
        most = max(1, CACHED // size) if wide.device.type == "cpu" else len(self.squares)
        moments = [
            self.adapter.tensors[f"{name}.{kind}.{m}"].view(-1) for m in ("exp_avg", "exp_avg_sq")
        ]
        for piece in self.pieces:
            left = narrow[:, piece.rows].unflatten(1, (piece.n, piece.t)).transpose(0, 1)
            right = wide[piece.rows].unflatten(0, (piece.n, piece.t))
            for start in range(0, piece.n, most):
                made = (left[start : start + most] @ right[start : start + most]).float()
                if norm is not None:
                    made *= norm.float()
                made = (made if kind == "A" else made.mT).reshape(len(made), -1)
                first = piece.first + start
                self._add(slice(first, first + len(made)), name, kind, made, moments)

    def _add(
        self,
        samples: slice,
        name: str,
        kind: str,
        gradient: "torch.Tensor",
        moments: "Sequence[torch.Tensor]",
    ) -> None:
        """Add the gradients (n, size) of one weight of some samples."""
        import torch

        self.squares[samples] += torch.linalg.vector_norm(gradient, dim=1).double().square()
        if self.adam:
            gradient = adam_direction(gradient, *moments)
        self.into.add(self.total[samples], 2 * self.number[name] + "AB".index(kind), gradient)
