"""Per-sample gradients of a LoRA adapter, all of a batch in one backward pass.

The adapter is merged into frozen weights, so the pass costs what it costs without one; taps on
its layers (see `core.engines.taps`) give each sample's own gradients. Each response token of
sample i has weight 1 / R_i, so one sum serves the mean NLL of every sample. Under causal
attention no gradient reaches a pad on the right. Evaluation mode, without dropout (LESS; the
later code leaves it on).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.adapters import Adapter
from core.domain import IntN, Sample
from core.engines import Sketch
from core.engines.backward import Pass
from core.engines.batches import pad, token_batches
from core.engines.forming import Former
from core.engines.head import through_head
from core.engines.hf import HFEngine
from core.engines.logits import Head
from core.engines.pieces import SLACK, Piece, cut, lay
from core.engines.places import known, places
from core.engines.sketch import Sketcher, sketcher
from core.engines.stack import Stack
from core.engines.taps import Taps
from core.templates import Encoded, Template, encode

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 8192  # padded tokens in one backward pass, which keeps all activations


def gradients(
    engine: HFEngine,
    samples: Sequence[Sample],
    template: Template,
    sketch: Sketch,
    adam: bool,
    max_tokens: int,
) -> dict[str, NDArray[Any]]:
    """See `Engine.gradients`.

    Raises:
        ModelError: the checkpoint has no adapter, or an adapted layer cannot be watched.
    """
    encoded = encode(samples, engine.tokenizer, template)
    n_tokens = np.array([int(e.scored.sum()) for e in encoded], np.int64)
    lengths = np.array([len(e) for e in encoded], np.int64)
    over_long = lengths > min(max_tokens, engine.limit)
    gradient = np.zeros((len(samples), sketch.width), np.float16)
    norm = np.zeros(len(samples), np.float32)
    nll = np.full(len(samples), np.nan)
    rows = np.flatnonzero(~over_long & (n_tokens > 0))
    into = sketcher(sketch, sizes(engine.adapter), engine.precision.device)
    for batch in _batches(rows, lengths, min(engine.batch_tokens, BATCH_TOKENS), into.rows):
        sums, length, nll[batch] = sketched(engine, [encoded[i] for i in batch], into, adam)
        size = np.linalg.norm(sums, axis=1)
        finite = np.isfinite(size)  # float16 may overflow in the dense sketch
        norm[batch] = np.where(finite, length, np.nan)
        sums[~finite] = 0
        gradient[batch] = sums / np.where(finite, np.maximum(size, 1e-12), 1)[:, None]
    return {
        "gradient": gradient,
        "norm": norm,
        "nll": nll,
        "n_tokens": n_tokens,
        "over_long": over_long,
    }


def sizes(adapter: Adapter) -> tuple[int, ...]:
    """Coordinates of each piece of a flattened gradient: module by module, A before B."""
    return tuple(adapter.tensors[f"{m}.{kind}"].numel() for m in adapter.modules for kind in "AB")


def _batches(rows: IntN, lengths: IntN, budget: int, most: int) -> Iterator[IntN]:
    """Batches of `budget` padded tokens and of `most` samples at most."""
    for batch in token_batches(rows, lengths, budget):
        for start in range(0, len(batch), most):
            yield batch[start : start + most]


def sketched(
    engine: HFEngine, batch: Sequence[Encoded], into: Sketcher, adam: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Sketch (b, width) of each sample's gradient or Adam direction, raw norm (b,), NLL (b,)."""
    order = np.argsort([-len(e) for e in batch], kind="stable")
    by_length = [batch[k] for k in order]
    found = (by_hand if fast(engine) else by_taps)(engine, by_length, into, adam)
    back = np.argsort(order)
    total, norm, nll = (x[back] for x in found)
    return total, norm, nll


def fast(engine: HFEngine) -> bool:
    """Whether layers and head are such that their gradients are written down here."""
    return known(engine.adapter.modules) and engine.stack is not None and engine.head is not None


def by_hand(
    engine: HFEngine, batch: Sequence[Encoded], into: Sketcher, adam: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """See `sketched`, with a gradient of the layers that is written down here.

    Samples come longest first.
    """
    import torch

    device, stack, head = engine.precision.device, engine.stack, engine.head
    assert stack is not None and head is not None, "asked by `fast`"
    pieces = cut(np.array([len(e) for e in batch]), SLACK if device == "cpu" else 1.0)
    ids, scored, owner = lay(batch, pieces)
    counts = np.bincount(owner[scored], minlength=len(batch))
    at = np.flatnonzero(scored)
    former = Former(engine.adapter, pieces, into, adam)
    with torch.no_grad():
        found = Pass(stack, torch.from_numpy(ids).to(device), pieces)
        rows = torch.from_numpy(at - 1).to(device)  # a token is predicted by the one before it
        share = torch.from_numpy(1 / counts[owner[at]]).float().to(device)
        last = found.last(rows)
        targets = torch.from_numpy(ids[at]).to(device)
        nll, gradient = through_head(head, last.y * stack.norm, targets, share)
        dx, part = torch.zeros_like(found.stream), torch.zeros_like(gradient)
        last.backward(gradient * stack.norm, part)
        dx[rows] = part
        _form(stack, found, dx, former)
    summed = np.bincount(owner[at], nll.double().cpu().numpy(), len(batch))
    return former.sketch(), former.norm(), summed / counts


def _form(stack: Stack, found: Pass, dx: "torch.Tensor", former: Former) -> None:
    """Go back through the layers, and form the gradients of the adapted ones."""
    there = places(stack, former.adapter.modules)

    def take(layer: int, product: str, x: "torch.Tensor", g: "torch.Tensor") -> None:
        for place in there.get((layer, product), ()):
            former.form(place.name, x, g[:, place.columns], place.norm)

    wanted = {product for _, product in there}
    found.backward(dx, take, wanted, min(layer for layer, _ in there))


def by_taps(
    engine: HFEngine, batch: Sequence[Encoded], into: Sketcher, adam: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """See `sketched`, with the gradient of any model by autograd."""
    import torch

    ids, scored = pad(batch)
    counts = scored[:, 1:].sum(1)
    row = np.repeat(np.arange(len(batch)), counts)
    device = engine.precision.device
    tokens = torch.from_numpy(ids).to(device)
    mask = torch.from_numpy(scored[:, 1:]).to(device)
    share = torch.from_numpy((1 / counts)[row]).float().to(device)
    head = engine.head  # asks the model, so before the taps listen
    former = Former(engine.adapter, [Piece(0, 0, *ids.shape)], into, adam)
    with torch.enable_grad(), Taps(engine.model, former):
        nll = _backward(engine.model, head, tokens, mask, share)
    summed = np.bincount(row, nll.double().cpu().numpy(), len(batch))
    return former.sketch(), former.norm(), summed / counts


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
