"""Reading a text once: NLL and entropy of every response token. See `Engine.token_stats`.

Batches are padded on the right and need no mask: under causal attention no real token sees
a pad. The head runs on response positions only, in vocabulary blocks.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample
from core.engines.batches import pad, token_batches
from core.engines.fused import head_stats
from core.engines.kv_cache import roomy_cache
from core.engines.logits import ROWS, VOCAB, nll_entropy
from core.templates import Encoded, Template

if TYPE_CHECKING:
    import torch

    from core.engines.hf import HFEngine


def token_stats(
    engine: "HFEngine", samples: Sequence[Sample], template: Template, max_tokens: int
) -> dict[str, NDArray[Any]]:
    """See `Engine.token_stats`."""
    tokens = engine.encoded(samples, template)
    n_tokens = np.array([int(e.scored.sum()) for e in tokens], np.int64)
    lengths = np.array([len(e) for e in tokens], np.int64)
    over_long = lengths > min(max_tokens, engine.limit)
    nll = np.full(len(samples), np.nan)
    entropy = np.full(len(samples), np.nan)
    rows = np.flatnonzero(~over_long & (n_tokens > 0))
    for batch in token_batches(rows, lengths, engine.batch_tokens):
        nll[batch], entropy[batch] = _means(engine, [tokens[i] for i in batch])
    return {
        "nll": nll,
        "entropy": entropy,
        "n_tokens": n_tokens,
        "over_long": over_long,
        "vocabulary": np.full(len(samples), engine.vocabulary),
    }


def _means(engine: "HFEngine", batch: Sequence[Encoded]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean NLL and entropy of each sample of one batch."""
    counts = np.array([int(e.scored[1:].sum()) for e in batch], np.int64)
    row = np.repeat(np.arange(len(batch)), counts)
    # float64 sums, so that a long answer's mean does not depend on the order of adding
    nll, entropy = (np.bincount(row, x, len(batch)) / counts for x in per_token(engine, batch))
    return nll, entropy


def per_token(
    engine: "HFEngine", batch: Sequence[Encoded]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NLL and entropy of all scored tokens of one batch, sample after sample."""
    import torch

    ids, scored = pad(batch)
    shared = min(engine.shared_start([e.ids for e in batch]), first_asked(batch))
    tokens = torch.from_numpy(ids).to(engine.precision.device)
    mask = torch.from_numpy(scored[:, shared + 1 :]).to(engine.precision.device)
    lengths = torch.tensor([len(e) for e in batch], device=tokens.device)
    targets = tokens[:, shared + 1 :][mask]  # token t+1 is predicted at position t
    with torch.inference_mode():
        nll, entropy = _stats(engine, tokens, lengths, shared, mask, targets)
    return nll.double().cpu().numpy(), entropy.double().cpu().numpy()


def piecewise(
    engine: "HFEngine", one: Encoded, at_once: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `per_token` of one sample, of which `at_once` tokens are read at a time.

    By transformers' own forward, whose keys and values of what was read are kept: slower, and for
    where the whole does not fit into memory.
    """
    import torch

    device = engine.precision.device
    tokens, mask = (torch.from_numpy(x).to(device) for x in (one.ids, one.scored))
    cache, parts = roomy_cache(engine.model.config), []
    with torch.inference_mode():
        for start in range(0, len(one) - 1, at_once):
            read = slice(start, min(start + at_once, len(one) - 1))
            asked = slice(read.start + 1, read.stop + 1)  # token t+1 is predicted at position t
            out = engine.model(tokens[None, read], past_key_values=cache, use_cache=True)
            logits = out.logits[0][mask[asked]]
            parts.append(nll_entropy(logits.split(VOCAB, 1), tokens[asked][mask[asked]]))
    nll, entropy = (torch.cat(x).double().cpu().numpy() for x in zip(*parts, strict=True))
    return nll, entropy


def first_asked(batch: Sequence[Encoded]) -> int:
    """The first position of any row that predicts a scored token."""
    return min(int(np.argmax(e.scored[1:])) for e in batch)


def _stats(
    engine: "HFEngine",
    tokens: "torch.Tensor",
    lengths: "torch.Tensor",
    shared: int,
    mask: "torch.Tensor",
    targets: "torch.Tensor",
) -> "tuple[torch.Tensor, torch.Tensor]":
    """NLL and entropy of all scored positions of a batch, flattened."""
    import torch

    if engine.head is not None:
        rows = engine.states(tokens, lengths, shared)[:, :-1][mask]
        return head_stats(engine.head, rows, targets)
    logits = engine.model(tokens, use_cache=False).logits[:, shared:-1][mask]
    parts = [
        nll_entropy(z.split(VOCAB, 1), y)
        for z, y in zip(logits.split(ROWS), targets.split(ROWS), strict=True)
    ]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
