"""Products with weights that are laid out once for the processor's kernels.

A product of few rows spends much of its time on laying out the weights: on a CPU, oneDNN's
kernels on weights in their own layout are 1.1 to 1.4 times as fast at 80 rows, and twice at 5; in
float32 still 1.1 times at 2,000. That costs a second copy, which models above `MOST_BYTES` go
without.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MOST_BYTES = 2 << 30


class Product:
    """Rows x (r, n) to x weight.T + bias; `weight` (m, n), `bias` (m,) or None."""

    def __init__(
        self, weight: "torch.Tensor", bias: "torch.Tensor | None" = None, pack: bool = True
    ) -> None:
        self.weight, self.bias = weight, bias
        self.packed = _packed(weight) if pack else None

    def __call__(self, x: "torch.Tensor") -> "torch.Tensor":
        """The product, (r, m)."""
        import torch

        if self.packed is None:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        run = torch.ops.mkldnn._linear_pointwise
        found: torch.Tensor = run(x.contiguous(), self.packed, self.bias, "none", [], "")
        return found

    def onto(self, stream: "torch.Tensor", x: "torch.Tensor") -> "torch.Tensor":
        """The product added to a stream (r, m), which may be overwritten."""
        import torch

        if self.packed is None:
            stream = stream.addmm_(x, self.weight.T)
            return stream if self.bias is None else stream.add_(self.bias)
        run = torch.ops.mkldnn._linear_pointwise.binary
        found: torch.Tensor = run(x.contiguous(), stream, self.packed, self.bias, "add")
        return found


def _packed(weight: "torch.Tensor") -> "torch.Tensor | None":
    """The weight in oneDNN's own layout; None where torch or the machine has none."""
    import torch

    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    found: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return found
