"""Taps on the layers of an adapter: what goes in and out of them in one batched backward pass.

For models whose layers are not written down in `core.engines.backward`.
"""

from typing import TYPE_CHECKING, Any

from core.engines.forming import Former
from core.errors import ModelError

if TYPE_CHECKING:
    import torch


class Taps:
    """Hooks on the adapted layers that have each sample's gradient formed."""

    def __init__(self, model: Any, former: Former) -> None:
        self.model, self.former = model.requires_grad_(False), former
        self.seen: set[str] = set()

    def __enter__(self) -> "Taps":
        self.hooks = [
            self.model.get_submodule(name).register_forward_hook(self._hook(name))
            for name in self.former.adapter.modules
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _hook(self, name: str) -> Any:
        """What a layer does after its forward pass: wait for the gradient of its output."""

        def watch(layer: Any, args: tuple[Any, ...], output: Any) -> None:
            x = args[0].detach()
            if name in self.seen or x.ndim != 3 or len(x) != len(self.former.squares):
                do = "Use another model; this one calls or shapes its layers in its own way."
                raise ModelError(name, "its gradient by sample cannot be told", do=do)
            self.seen.add(name)
            if not output.requires_grad:  # nothing below the first adapted layers learns
                output.requires_grad_(True)
            output.register_hook(lambda g: self._take(name, x, g))

        return watch

    def _take(self, name: str, x: "torch.Tensor", g: "torch.Tensor") -> None:
        """Form the gradients of one layer; x (b, t, in) and g (b, t, out)."""
        self.former.form(name, x.flatten(0, 1), g.flatten(0, 1))
