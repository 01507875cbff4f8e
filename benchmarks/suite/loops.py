"""Straightforward loops that do what the reference implementations do, for the ratios."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.engines.batches import pad
from core.engines.hf import HFEngine
from core.templates import Encoded

if TYPE_CHECKING:
    import torch

Means = NDArray[np.float64]  # (n, 2): NLL and entropy
PADDED = 8  # rows of a batch in the order they come


def one_by_one(model: Any, engine: HFEngine, encoded: Sequence[Encoded]) -> Means:
    """InstructDiff's loop: one sample at a time, gradients on, softmax of all positions twice."""
    import torch

    found = []
    with torch.enable_grad():
        for e in encoded:
            ids = torch.from_numpy(e.ids)[None].to(engine.precision.device)
            logits = model(input_ids=ids).logits[0]
            found.append(_means(logits, e))
    return np.array(found)


def padded(model: Any, engine: HFEngine, encoded: Sequence[Encoded]) -> Means:
    """Batches of eight in the order they come, with a mask and the logits of all positions."""
    import torch

    found = []
    with torch.inference_mode():
        for batch in in_eights(encoded):
            ids, _ = pad(batch)
            mask = np.arange(ids.shape[1]) < np.array([[len(e)] for e in batch])
            tokens, there = (torch.from_numpy(x).to(engine.precision.device) for x in (ids, mask))
            logits = model(input_ids=tokens, attention_mask=there.long()).logits
            found += [_means(z[: len(e)], e) for z, e in zip(logits, batch, strict=True)]
    return np.array(found)


def in_eights(encoded: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
    """Batches in the order they come."""
    for start in range(0, len(encoded), PADDED):
        yield encoded[start : start + PADDED]


def _means(logits: "torch.Tensor", e: Encoded) -> tuple[float, float]:
    """Mean NLL and entropy over the scored tokens of logits (t, V)."""
    import torch

    log_p = torch.log_softmax(logits.float(), -1)
    p = torch.softmax(logits.float(), -1)
    entropy = -(p * log_p).sum(-1)
    at = torch.from_numpy(np.flatnonzero(e.scored)).to(logits.device)
    ids = torch.from_numpy(e.ids).to(logits.device)[at]
    return (-log_p[at - 1, ids].mean()).item(), entropy[at - 1].mean().item()


def greedy_token(model: Any, engine: HFEngine, prompts: Sequence[NDArray[np.int64]]) -> list[Any]:
    """Single-token entropy as its authors do: `generate` one token a prompt, keep the scores.

    Returns: (likeliest token, entropy) of each prompt.
    """
    import torch

    found = []
    for ids in prompts:
        tokens = torch.from_numpy(ids)[None].to(engine.precision.device)
        out = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=0,
        )
        p = out.logits[0][0].double().softmax(-1)
        entropy = -(p * p.clamp_min(1e-12).log()).sum()
        found.append((int(out.sequences[0, -1]), float(entropy)))
    return found
