"""Hidden states -> one unit vector a text. The head of the model is never run.

Texts are padded on the right and need no mask: under causal attention no real token sees a pad,
and a pad has weight 0. Everything after the hidden states is float32 or float64.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample
from core.engines import Pooling, Text
from core.engines.batches import token_batches
from core.engines.body import mean_states
from core.engines.hf import HFEngine
from core.errors import ModelError
from core.templates import before_last_response, transcripts

if TYPE_CHECKING:
    import torch

NUMBER = re.compile(r"[\d%℃°]")
PUNCTUATION = re.compile(r"[\s,.;:!?()\[\]{}\"'`~\-_/\\]*")
IDS_AT_ONCE = 8192  # decoded in one call while the table of token weights is made


def content_weights(tokens: Sequence[str]) -> NDArray[np.float32]:
    """ADG's weight of each token's text: 0 for punctuation, 1.3 for numbers, 1 otherwise.

    A number has a digit, %, ℃ or °; punctuation is only the listed ASCII marks and blanks.
    Source: ADG, arXiv 2604.10448, the authors' code. Returns (len(tokens),).
    """
    stripped = [token.strip() for token in tokens]
    weights = [
        0.0 if PUNCTUATION.fullmatch(t) else 1.3 if NUMBER.search(t) else 1.0 for t in stripped
    ]
    return np.array(weights, np.float32)


def token_weights(tokenizer: Any) -> NDArray[np.float32]:
    """`content_weights` of every token id, each decoded alone; (V,)."""
    ids = range(len(tokenizer))
    chunks = (ids[k : k + IDS_AT_ONCE] for k in range(0, len(ids), IDS_AT_ONCE))
    texts = [t for chunk in chunks for t in tokenizer.batch_decode([[k] for k in chunk])]
    return content_weights(texts)


def mean_layers(states: "Sequence[torch.Tensor]", layers: Sequence[int]) -> "torch.Tensor":
    """Mean in float32 of some of the L+1 hidden states (b, T, d), the embeddings being first."""
    import torch

    mean: torch.Tensor = torch.stack([states[k].float() for k in layers]).mean(0)
    return mean


def weighted_mean(hidden: "torch.Tensor", weights: "torch.Tensor") -> "torch.Tensor":
    """Unit vectors (b, d): mean of hidden states (b, T, d) under weights (b, T), normalised.

    Zero where all weights are 0.
    """
    import torch

    total = weights.sum(1, keepdim=True).clamp(min=1e-12)
    mean = torch.einsum("bt,btd->bd", weights, hidden) / total
    unit: torch.Tensor = mean / (mean.norm(dim=1, keepdim=True) + 1e-12)
    return unit


def cosines(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Gram matrices (..., k, k) of vectors (..., k, d) over their length; 0 for a zero vector."""
    v = np.asarray(vectors, np.float64)
    unit = v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-12)
    return np.asarray(unit @ unit.swapaxes(-1, -2))


def answer_vectors(
    engine: HFEngine,
    samples: Sequence[Sample],
    texts: NDArray[Any],
    pooling: Pooling,
    span: Literal["answer", "full"],
    max_tokens: int,
) -> dict[str, NDArray[Any]]:
    """See `Engine.answer_vectors`.

    The instruction is what the last response answers, turns joined by blank lines, without any
    template. `full` tokenises instruction, space and answer whole, as the authors' code does;
    `answer` tokenises them apart and pools the answer's tokens. An empty answer has a zero
    vector under both (the authors' Qwen script; their LLaMA script embeds the instruction).
    """
    k = texts.shape[1]
    filled = np.char.str_len(texts) > 0
    ids: list[list[int]] = []
    starts: list[int] = []
    for sample, row in zip(samples, texts, strict=True):
        head = "\n\n".join(t.content for t in before_last_response(sample))
        for answer in row:
            said = " " + bytes(answer).decode("utf8")
            before = [] if span == "full" else _ids(engine, head)
            ids.append(before + _ids(engine, head + said if span == "full" else said))
            starts.append(len(before))
    lengths = np.where(filled.ravel(), [len(x) for x in ids], 0).astype(np.int64)
    vector = _pooled(engine, ids, starts, lengths, pooling, max_tokens)
    vector = vector.reshape(len(samples), k, vector.shape[1])
    return {"vector": vector.astype(np.float16), "gram": cosines(vector), "filled": filled}


def embeddings(
    engine: HFEngine, samples: Sequence[Sample], text: Text, pooling: Pooling, max_tokens: int
) -> dict[str, NDArray[Any]]:
    """See `Engine.embeddings`.

    An instruction is tokenised as the tokenizer likes, special tokens too; a conversation is
    written under the chat template. A query reads like a conversation: a causal model needs no
    sentence that asks for similar ones. Where all of ADG's weights are 0, they are equal.
    """
    if text == "instruction":
        said = [next((t.content for t in s.turns if t.role == "user"), "") for s in samples]
        empty = [not x.strip() for x in said]
        ids = [list(engine.tokenizer(x)["input_ids"]) for x in said]
    else:
        empty = [not any(t.content.strip() for t in s.turns) for s in samples]
        ids = transcripts(samples, engine.tokenizer)
    lengths = np.where(empty, 0, [len(x) for x in ids]).astype(np.int64)
    vector = _pooled(engine, ids, [0] * len(ids), lengths, pooling, max_tokens, fallback=True)
    return {"vector": vector, "empty": np.array(empty, bool)}


def _ids(engine: HFEngine, text: str) -> list[int]:
    return list(engine.tokenizer(text, add_special_tokens=False)["input_ids"])


def _pooled(
    engine: HFEngine,
    ids: Sequence[list[int]],
    starts: Sequence[int],
    lengths: NDArray[np.int64],
    pooling: Pooling,
    max_tokens: int,
    fallback: bool = False,
) -> NDArray[np.float32]:
    """Unit vectors (r, d) of token lists, each pooled from its start on; zero where length is 0.

    Lists are cut on the right at `max_tokens` and at the model's limit.
    """
    import torch

    lengths = np.minimum(lengths, min(max_tokens, engine.limit))
    out = np.zeros((len(ids), engine.config.hidden_size), np.float32)
    for batch in token_batches(np.flatnonzero(lengths), lengths, engine.batch_tokens):
        cut = [ids[i][: lengths[i]] for i in batch]
        weights = list(_weights(engine, cut, [starts[i] for i in batch], pooling, fallback))
        tokens, weight = _rectangle(cut, np.int64), _rectangle(weights, np.float32)
        with torch.inference_mode():
            there = torch.from_numpy(tokens).to(engine.precision.device)
            states = _states(engine, there, torch.from_numpy(lengths[batch]).to(there), pooling)
            at = torch.from_numpy(weight).to(states.device)
            out[batch] = weighted_mean(states, at).cpu().numpy()
    return out


def _states(
    engine: HFEngine, tokens: "torch.Tensor", lengths: "torch.Tensor", pooling: Pooling
) -> "torch.Tensor":
    """The hidden states that a pooling reads, (b, T, d) float32; `lengths` (b,) without pads."""
    if pooling.layers == (-1,):
        return engine.states(tokens, lengths).float()
    n = engine.config.num_hidden_layers + 1
    if any(not -n <= k < n for k in pooling.layers):
        what = f"has {n} hidden states, the embeddings among them"
        do = "Choose layers that it has."
        raise ModelError(engine.checkpoint.name, what, got=pooling.layers, do=do)
    if engine.stack is not None:
        return mean_states(engine.stack, tokens, [k % n for k in pooling.layers], lengths)
    found = engine.model.base_model(tokens, use_cache=False, output_hidden_states=True)
    return mean_layers(found.hidden_states, pooling.layers)


def _weights(
    engine: HFEngine,
    ids: Sequence[list[int]],
    starts: Sequence[int],
    pooling: Pooling,
    fallback: bool,
) -> Iterator[NDArray[np.float32]]:
    """The weight of each token of each list."""
    if pooling.kind == "sentence":
        do = "Use a sentence-transformers model, or pool by content, position or mean."
        what = "is a causal language model, which has no sentence pooling"
        raise ModelError(engine.checkpoint.name, what, do=do)
    for tokens, start in zip(ids, starts, strict=True):
        weights = np.ones(len(tokens), np.float32)
        if pooling.kind == "content":
            weights = engine.content_weights[tokens]
        elif pooling.kind == "position":
            weights = position_weights(len(tokens))
        weights = np.where(np.arange(len(tokens)) < start, np.float32(0), weights)
        yield or_equal(weights) if fallback else weights


def or_equal(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weights of a text's tokens, or equal ones where all are 0."""
    return weights if weights.any() else np.ones_like(weights)


def position_weights(length: int) -> NDArray[np.float32]:
    """RDS+: 1..L over all tokens of a text, so that later tokens count more; (L,)."""
    return np.arange(1, length + 1, dtype=np.float32)


def _rectangle(rows: Sequence[Any], dtype: Any) -> NDArray[Any]:
    """Rows of different lengths, padded on the right with 0."""
    out = np.zeros((len(rows), max(map(len, rows))), dtype)
    for row, values in enumerate(rows):
        out[row, : len(values)] = values
    return out
