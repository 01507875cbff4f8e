"""Per-sample gradients of a LoRA adapter, all of a batch in one backward pass.

The adapter is merged into frozen weights, so the pass costs what it costs without one; taps on
its layers (see `core.engines.taps`) give each sample's own gradients. Each response token of
sample i has weight 1 / R_i, so one sum serves the mean NLL of every sample. Under causal
attention no gradient reaches a pad on the right. Evaluation mode, without dropout (LESS; the
later code leaves it on).
"""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.adapters import Adapter
from core.domain import IntN, Sample
from core.engines import Sketch
from core.engines.backward import Pass
from core.engines.batches import token_batches
from core.engines.forming import Formed, Former
from core.engines.head import through_head
from core.engines.hf import HFEngine
from core.engines.pieces import SLACK, cut, lay
from core.engines.places import Take, known
from core.engines.sketch import Sketcher, sketcher
from core.engines.taps import by_taps
from core.templates import Encoded, Template, encode

log = logging.getLogger(__name__)

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


def sketched(engine: HFEngine, batch: Sequence[Encoded], into: Sketcher, adam: bool) -> Formed:
    """Sketch (b, width) of each sample's gradient or Adam direction, raw norm (b,), NLL (b,)."""
    order = np.argsort([-len(e) for e in batch], kind="stable")
    by_length = [batch[k] for k in order]
    total, norm, nll = (by_hand if fast(engine) else by_taps)(engine, by_length, into, adam)
    back = np.argsort(order)
    return total[back], norm[back], nll[back]


def fast(engine: HFEngine) -> bool:
    """Whether layers and head are such that their gradient is written down here."""
    if not known(engine.adapter.modules):
        _say_plain(engine.checkpoint.name)
        return False
    return engine.head is not None and engine.stack is not None


@cache
def _say_plain(name: str) -> None:
    log.warning("%s: its adapted layers are unusual, using the plain path", name)


def by_hand(engine: HFEngine, batch: Sequence[Encoded], into: Sketcher, adam: bool) -> Formed:
    """See `sketched`, with a gradient of the layers that is written down here.

    Samples come longest first.
    """
    import torch

    device, stack, head = engine.precision.device, engine.stack, engine.head
    assert stack is not None, "asked by `fast`"
    assert head is not None, "asked by `fast`"
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
        dx, part = torch.zeros_like(found.stream), torch.zeros_like(found.stream[rows])
        last.backward(gradient * stack.norm, part)
        dx[rows] = part
        found.backward(dx, Take(stack, former))
    summed = np.bincount(owner[at], nll.double().cpu().numpy(), len(batch))
    return former.sketch(), former.norm(), summed / counts
