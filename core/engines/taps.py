"""Taps on the layers of an adapter: what goes in and out of them in one batched backward pass.

For models whose layers are not written down in `core.engines.backward`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.engines.batches import pad
from core.engines.forming import Formed, Former
from core.engines.head import through_head
from core.engines.hf import HFEngine
from core.engines.logits import Head
from core.engines.pieces import Piece
from core.engines.sketch import Sketcher
from core.errors import ModelError
from core.templates import Encoded

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


def by_taps(engine: HFEngine, batch: Sequence[Encoded], into: Sketcher, adam: bool) -> Formed:
    """See `core.engines.gradients.sketched`; the gradient of any model, by autograd."""
    import torch

    ids, scored = pad(batch)
    counts = scored[:, 1:].sum(1)
    row = np.repeat(np.arange(len(batch)), counts)
    device = engine.precision.device
    tokens = torch.from_numpy(ids).to(device)
    mask = torch.from_numpy(scored[:, 1:]).to(device)
    share = torch.from_numpy((1 / counts)[row]).float().to(device)
    model = _unfolded(engine)
    head = engine.head  # asks the model, so before the taps listen
    former = Former(engine.adapter, [Piece(0, 0, *ids.shape)], into, adam)
    with torch.enable_grad(), Taps(model, former):
        nll = _backward(model, head, tokens, mask, share)
    summed = np.bincount(row, nll.double().cpu().numpy(), len(batch))
    return former.sketch(), former.norm(), summed / counts


def _unfolded(engine: HFEngine) -> Any:
    """The engine's model with its norms where transformers has them, so that layers read them."""
    if vars(engine).get("stack") is not None:
        for name in ("stack", "head", "model"):
            vars(engine).pop(name, None)
    return engine.model


def _backward(
    model: Any,
    head: Head | None,
    tokens: "torch.Tensor",
    mask: "torch.Tensor",
    share: "torch.Tensor",
) -> "torch.Tensor":
    """Send the gradient of sum(share * NLL) through the body; returns the NLL of each position."""
    import torch

    targets = tokens[:, 1:][mask]  # token t+1 is predicted at position t
    if head is not None:
        hidden = model.base_model(tokens, use_cache=False).last_hidden_state
        rows = hidden[:, :-1][mask]
        nll, gradient = through_head(head, rows.detach(), targets, share)
        rows.backward(gradient)  # type: ignore[no-untyped-call]
        return nll
    logits = model(tokens, use_cache=False).logits[:, :-1][mask]
    nll = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    (nll * share).sum().backward()  # type: ignore[no-untyped-call]
    return nll.detach()
