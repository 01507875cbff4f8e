"""k sampled answers to each prompt: prompts are read once, then all answers grow together.

One step draws the next token of every answer of a batch; answers that have ended leave it. Models
with a `Stack` grow by `core.engines.decoding`, others by `core.engines.plain_decoding`. A draw
depends on seed, sample, answer and position alone, see `core.engines.draws`; the logits of a row
differ in the last bits between batches of other shapes. So the same block gives the same text; in
another block a text is the same unless two tokens were closer than that rounding error, which
float32 makes rare and bf16 does not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.engines import Sampling
from core.engines.batches import token_batches
from core.engines.decoding import Decoding
from core.engines.draws import draw, key
from core.engines.hf import HFEngine
from core.engines.kv_cache import bytes_per_position
from core.engines.plain_decoding import PlainDecoding
from core.templates import end_ids, prompts

if TYPE_CHECKING:
    import torch

CACHE_BYTES = {"cpu": 2 << 30, "cuda": 24 << 30}  # keys and values of one batch
Growing = Decoding | PlainDecoding


@dataclass(frozen=True)
class Drawn:
    """Tokens (r, max_new), how many of them count, the end token too (r,), and whether it came."""

    tokens: NDArray[np.int64]
    n_tokens: NDArray[np.int32]
    ended: NDArray[np.bool_]


def answers(
    engine: HFEngine, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
) -> dict[str, NDArray[Any]]:
    """See `Engine.answers`."""
    shape = (len(samples), sampling.k)
    text = np.full(shape, b"", object)
    n_tokens, ended = np.zeros(shape, np.int32), np.zeros(shape, bool)
    asked = prompts(samples, engine.tokenizer)
    lengths = np.array([len(ids) for ids in asked], np.int64)
    over_long = lengths + sampling.max_new_tokens > min(max_tokens, engine.limit)
    for batch in _batches(engine, np.flatnonzero(~over_long), lengths, sampling):
        keys = [
            key(sampling.seed, samples[i].sample_id, j) for i in batch for j in range(sampling.k)
        ]
        growing = growing_of(engine, [asked[i] for i in batch], sampling.k)
        drawn = sample(growing, np.array(keys, np.int64), sampling, _ends(engine))
        said = _texts(engine.tokenizer, drawn)
        text[batch] = np.array(said, object).reshape(-1, sampling.k)
        n_tokens[batch] = drawn.n_tokens.reshape(-1, sampling.k)
        ended[batch] = drawn.ended.reshape(-1, sampling.k)
    return {
        "text": text.astype(np.bytes_),
        "n_tokens": n_tokens,
        "ended": ended,
        "over_long": over_long,
    }


def growing_of(engine: HFEngine, asked: Sequence[list[int]], k: int) -> Growing:
    """k empty answers to each prompt: by the fast path where the model takes it."""
    import torch

    with torch.inference_mode():
        if engine.decoder is not None:
            return Decoding(engine.decoder, asked, k)
        return PlainDecoding(engine.model, asked, k)


def _batches(engine: HFEngine, rows: IntN, asked: IntN, sampling: Sampling) -> Iterator[IntN]:
    """Batches of prompts of `asked` tokens whose answers fit into the cache together.

    Loads no model for none.
    """
    if not len(rows):
        return iter(())
    size = bytes_per_position(engine.model.config, engine.model.dtype.itemsize)
    whole = CACHE_BYTES[engine.precision.device.split(":")[0]]
    budget = (whole >> engine.halvings) // size
    held = asked if engine.decoder is not None else sampling.k * asked  # answers share a prompt
    return token_batches(rows, held + sampling.k * sampling.max_new_tokens, budget)


def _ends(engine: HFEngine) -> NDArray[np.int64]:
    """Every token that ends an answer, the model's own list among them."""
    own = getattr(engine.model.generation_config, "eos_token_id", None)
    own = [] if own is None else own if isinstance(own, list) else [own]
    return np.array(sorted({*end_ids(engine.tokenizer), *own}), np.int64)


def _texts(tokenizer: Any, drawn: Drawn) -> list[bytes]:
    rows = [t[:n].tolist() for t, n in zip(drawn.tokens, drawn.n_tokens, strict=True)]
    said = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return [s.strip().encode("utf8", "replace") for s in said]


def sample(
    growing: Growing, keys: NDArray[np.int64], sampling: Sampling, ends: NDArray[np.int64]
) -> Drawn:
    """Draw k answers to each prompt of a batch; row i * k + j is answer j of prompt i.

    `keys` (r,) feed the draws of each answer, `ends` are the tokens that end one.
    """
    import torch

    r = len(keys)
    tokens = np.zeros((r, sampling.max_new_tokens), np.int64)
    n_tokens, ended = np.zeros(r, np.int32), np.zeros(r, bool)
    with torch.inference_mode():
        for t in range(sampling.max_new_tokens):
            here = growing.rows
            drawn = _drawn(growing, keys[here], t, sampling)
            found = drawn.cpu().numpy()
            new = ~ended[here]
            tokens[here[new], t] = found[new]
            n_tokens[here[new]] += 1
            ended[here] |= np.isin(found, ends)
            if ended[here].all() or t + 1 == sampling.max_new_tokens:
                break
            growing.step(drawn, ~ended[here])
    return Drawn(tokens, n_tokens, ended)


def _drawn(
    growing: Growing, keys: NDArray[np.int64], position: int, sampling: Sampling
) -> "torch.Tensor":
    """The next token of every row, (r,)."""
    import torch

    found, start = [], 0
    for z in growing.logits():
        own = torch.from_numpy(keys[start : start + len(z)]).to(z.device)
        found.append(draw(z, own, position, sampling.temperature, sampling.top_p))
        start += len(z)
    return torch.cat(found)
