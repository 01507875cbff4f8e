"""Taps on the layers of an adapter: per-sample gradients out of one batched backward pass.

A tap sees a layer's input x_t and the gradient g_t of its output. With the adapter, the layer
computes x W^T + scale (x A^T) B^T, so for each sample with loss L

    dL/dB = scale sum_t g_t (A x_t)^T        dL/dA = scale sum_t (B^T g_t) x_t^T

Adam's step is elementwise, so it is taken before the sketch. No more than one weight's gradients
of one batch are in memory.
"""

from typing import TYPE_CHECKING, Any

from core.engines.hf import HFEngine
from core.engines.sketch import Sketcher
from core.errors import ModelError

if TYPE_CHECKING:
    import torch

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # EPSILON inside the root, no bias correction (LESS)


def adam_direction(
    gradient: "torch.Tensor", exp_avg: "torch.Tensor", exp_avg_sq: "torch.Tensor"
) -> "torch.Tensor":
    """Adam's step from these moments, elementwise in float32; see `Engine.gradients`.

    The same as `core.influence.adam_direction`, with fewer arrays on the way.
    """
    import torch

    root = torch.addcmul(BETA_2 * exp_avg_sq + EPSILON, gradient, gradient, value=1 - BETA_2)
    step = torch.add(BETA_1 * exp_avg, gradient, alpha=1 - BETA_1)
    return step.div_(root.sqrt_())


class Taps:
    """Hooks on the adapted layers that add each sample's gradient to a sketch.

    After a backward pass `total` is the sketcher's total and `squares` (b,) the squared norms.
    """

    def __init__(self, engine: HFEngine, n: int, into: Sketcher, adam: bool) -> None:
        import torch

        self.engine, self.n, self.into, self.adam = engine, n, into, adam
        self.total = into.begin(n)
        self.squares = torch.zeros(n, dtype=torch.float64, device=engine.precision.device)
        self.seen: set[int] = set()

    def __enter__(self) -> "Taps":
        model = self.engine.model.requires_grad_(False)
        self.hooks = []
        for number, name in enumerate(self.engine.adapter.modules):
            layer = model.get_submodule(name)
            hook = self._hook(number, name)
            self.hooks.append(layer.register_forward_hook(hook))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _hook(self, number: int, name: str) -> Any:
        """What a layer does after its forward pass: wait for the gradient of its output."""

        def watch(layer: Any, args: tuple[Any, ...], output: Any) -> None:
            x = args[0].detach()
            if number in self.seen or x.ndim != 3 or len(x) != self.n:
                do = "Use another model; this one calls or shapes its layers in its own way."
                raise ModelError(name, "its gradient by sample cannot be told", do=do)
            self.seen.add(number)
            if not output.requires_grad:  # nothing below the first adapted layers learns
                output.requires_grad_(True)
            output.register_hook(lambda g: self._take(number, name, x, g))

        return watch

    def _take(self, number: int, name: str, x: "torch.Tensor", g: "torch.Tensor") -> None:
        """Add the gradients of one layer; x (b, t, in) and g (b, t, out)."""
        adapter = self.engine.adapter
        a, b = (adapter.tensors[f"{name}.{kind}"].to(x.dtype) for kind in "AB")
        for piece, kind, left, right in (
            (2 * number, "A", g @ b, x),
            (2 * number + 1, "B", g, x @ a.T),
        ):
            gradient = (left.mT @ right).flatten(1).float() * adapter.scale
            self.squares += gradient.square().sum(1)
            if self.adam:
                m, v = (
                    adapter.tensors[f"{name}.{kind}.{moment}"].flatten()
                    for moment in ("exp_avg", "exp_avg_sq")
                )
                gradient = adam_direction(gradient, m, v)
            self.into.add(self.total, piece, gradient)
