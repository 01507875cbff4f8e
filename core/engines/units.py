"""Rows of length one, and the way back through a norm.

With y = x s and s = 1 / rms(x): dx = s (dy - y mean(y dy)).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass
class Unit:
    """x / rms(x): the rows `y` (..., d), and what they were multiplied by (..., 1)."""

    y: "torch.Tensor"
    scale: "torch.Tensor"

    def backward(self, dy: "torch.Tensor", dx: "torch.Tensor") -> None:
        """Add the gradient of x to `dx`, from that of y, which is used up."""
        import torch

        along = torch.linalg.vecdot(self.y, dy).div_(self.y.shape[-1])[..., None]
        dx += dy.addcmul_(self.y, along, value=-1).mul_(self.scale)


def unit(x: "torch.Tensor", eps: float, dtype: "torch.dtype | None" = None) -> Unit:
    """Rows over the root of their mean square, which is taken in float32; rounded last."""
    import torch

    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    y = torch.mul(x, scale, out=torch.empty_like(x, dtype=dtype))
    return Unit(y, scale.to(y.dtype))


def unit_rms(x: "torch.Tensor", eps: float, dtype: "torch.dtype | None" = None) -> "torch.Tensor":
    """The rows alone, where there is no way back."""
    return unit(x, eps, dtype).y


def through(
    after: Unit | None, weight: "torch.Tensor | None", dy: "torch.Tensor"
) -> "torch.Tensor":
    """Back through a norm after a product; the gradient as it came where there is none."""
    import torch

    if after is None or weight is None:
        return dy
    dx = torch.zeros_like(dy)
    after.backward(dy * weight, dx)
    return dx
