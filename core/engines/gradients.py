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
from core.engines.batches import pad, token_batches
from core.engines.hf import HFEngine
from core.engines.logits import ROWS
from core.engines.sketch import Sketcher, sketcher
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
    import torch

    ids, scored = pad(batch)
    counts = scored[:, 1:].sum(1)
    row = np.repeat(np.arange(len(batch)), counts)
    device = engine.precision.device
    tokens = torch.from_numpy(ids).to(device)
    mask = torch.from_numpy(scored[:, 1:]).to(device)
    share = torch.from_numpy((1 / counts)[row]).float().to(device)
    blocked = engine.blocked_head  # asks the model, so before the taps listen
    with torch.enable_grad(), Taps(engine, len(batch), into, adam) as taps:
        nll = _backward(engine.model, blocked, tokens, mask, share)
    summed = np.bincount(row, nll.double().cpu().numpy(), len(batch))
    norm = taps.squares.sqrt().float().cpu().numpy()
    return into.finish(taps.total).cpu().numpy(), norm, summed / counts


def _backward(
    model: Any,
    blocked_head: bool,
    tokens: "torch.Tensor",
    mask: "torch.Tensor",
    share: "torch.Tensor",
) -> "torch.Tensor":
    """Send the gradient of sum(share * NLL) through the body; returns the NLL of each position."""
    import torch

    targets = tokens[:, 1:][mask]  # token t+1 is predicted at position t
    if blocked_head:
        hidden = model.base_model(tokens, use_cache=False).last_hidden_state
        rows = hidden[:, :-1][mask]
        nll, gradient = through_head(model.get_output_embeddings(), rows.detach(), targets, share)
        rows.backward(gradient)  # type: ignore[no-untyped-call]
        return nll
    logits = model(tokens, use_cache=False).logits[:, :-1][mask]
    nll = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    (nll * share).sum().backward()  # type: ignore[no-untyped-call]
    return nll.detach()


def through_head(
    head: Any, hidden: "torch.Tensor", targets: "torch.Tensor", share: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """NLL (r,) of the targets, and the gradient (r, d) of sum(share * NLL) by `hidden` (r, d).

    By hand, d NLL / d logits = softmax - one-hot, so that the logits of `ROWS` positions are all
    that is ever kept.
    """
    import torch

    found, gradient = [], []
    with torch.no_grad():
        for h, y, w in zip(hidden.split(ROWS), targets.split(ROWS), share.split(ROWS), strict=True):
            log_p = head(h).float().log_softmax(1)
            found.append(-log_p.gather(1, y[:, None])[:, 0])
            change = log_p.exp_()
            change[torch.arange(len(y), device=y.device), y] -= 1
            gradient.append((change * w[:, None]).to(h.dtype) @ head.weight)
    return torch.cat(found), torch.cat(gradient)
