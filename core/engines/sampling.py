"""k sampled answers to each prompt: prompts are read once, then all answers grow together.

Prompts of similar length are padded on the left and read in one pass; their keys and values
are taken k times, and one step draws the next token of every answer. Answers that have ended
leave the batch. A draw depends on seed, sample, answer and position alone, see
`core.engines.draws`; the logits of a row differ in the last bits between batches of other
shapes. So the same block gives the same text; in another block a text is the same unless two
tokens were closer than that rounding error, which float32 makes rare and bf16 does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample
from core.engines import Sampling
from core.engines.batches import token_batches
from core.engines.draws import draw, key
from core.engines.hf import HFEngine
from core.engines.kv_cache import bytes_per_position, roomy_cache
from core.templates import end_ids, prompts

if TYPE_CHECKING:
    import torch

CACHE_BYTES = {"cpu": 2 << 30, "cuda": 24 << 30}  # keys and values of one batch
LEAVE = 0.25  # share of ended answers at which they leave: each time, the others are copied


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
    lengths = np.array([len(ids) + sampling.max_new_tokens for ids in asked], np.int64)
    over_long = lengths > min(max_tokens, engine.limit)
    for batch in _batches(engine, np.flatnonzero(~over_long), lengths, sampling.k):
        keys = [
            key(sampling.seed, samples[i].sample_id, j) for i in batch for j in range(sampling.k)
        ]
        drawn = sample(
            engine.model,
            [asked[i] for i in batch],
            np.array(keys, np.int64),
            sampling,
            _ends(engine),
        )
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


def _batches(engine: HFEngine, rows: NDArray[np.int64], lengths: NDArray[np.int64], k: int) -> Any:
    """Batches of prompts whose answers fit into the cache together; loads no model for none."""
    if not len(rows):
        return iter(())
    size = bytes_per_position(engine.model.config, engine.model.dtype.itemsize)
    budget = CACHE_BYTES[engine.precision.device.split(":")[0]] // size // k
    return token_batches(rows, lengths, budget)


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
    model: Any,
    asked: Sequence[list[int]],
    keys: NDArray[np.int64],
    sampling: Sampling,
    ends: NDArray[np.int64],
) -> Drawn:
    """Draw k answers to each prompt of a batch; row i * k + j is answer j of prompt i.

    `keys` (r,) feed the draws of each answer, `ends` are the tokens that end one.
    """
    import torch

    r = len(asked) * sampling.k
    tokens = np.zeros((r, sampling.max_new_tokens), np.int64)
    n_tokens, ended = np.zeros(r, np.int32), np.zeros(r, bool)
    with torch.inference_mode():
        growing = _Growing(model, asked, sampling.k)
        for t in range(sampling.max_new_tokens):
            here = growing.rows
            own = torch.from_numpy(keys[here]).to(growing.logits.device)
            drawn = draw(growing.logits, own, t, sampling.temperature, sampling.top_p)
            found = drawn.cpu().numpy()
            new = ~ended[here]
            tokens[here[new], t] = found[new]
            n_tokens[here[new]] += 1
            ended[here] |= np.isin(found, ends)
            if ended[here].all() or t + 1 == sampling.max_new_tokens:
                break
            growing.step(drawn, ~ended[here])
    return Drawn(tokens, n_tokens, ended)


class _Growing:
    """A batch of answers in the making: which rows it holds, and their next logits."""

    def __init__(self, model: Any, asked: Sequence[list[int]], k: int) -> None:
        import torch

        self.model, self.cache = model, roomy_cache(model.config)
        self.takes = signature(model.forward).parameters
        width = max(map(len, asked))
        ids = np.zeros((len(asked), width), np.int64)
        mask = np.zeros((len(asked), width), np.int64)
        for row, prompt in enumerate(asked):
            ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = prompt, 1
        self.mask = torch.from_numpy(mask).to(model.device)
        self._read(torch.from_numpy(ids).to(model.device), (self.mask.cumsum(1) - 1).clamp(min=0))
        self._keep(torch.arange(len(asked), device=model.device).repeat_interleave(k))
        self.position = self.mask.sum(1, keepdim=True)  # of the next token, (r, 1)
        self.rows = np.arange(len(asked) * k)

    def step(self, tokens: "torch.Tensor", going: NDArray[np.bool_]) -> None:
        """Append a token to each row; rows that are not `going` leave once they are many."""
        import torch

        if np.mean(~going) >= LEAVE:
            keep = torch.from_numpy(np.flatnonzero(going)).to(tokens.device)
            self._keep(keep)
            self.position, self.rows, tokens = self.position[keep], self.rows[going], tokens[keep]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], 1)
        self._read(tokens[:, None], self.position)
        self.position = self.position + 1

    def _read(self, ids: "torch.Tensor", position: "torch.Tensor") -> None:
        """Run the model on new tokens (r, t); their keys and values join the cache."""
        extra = {"position_ids": position, "logits_to_keep": 1}
        out = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **{name: value for name, value in extra.items() if name in self.takes},
        )
        self.logits = out.logits[:, -1]

    def _keep(self, rows: "torch.Tensor") -> None:
        """Go on with these rows; one may be taken several times."""
        self.cache.reorder_cache(rows)
        self.mask, self.logits = self.mask[rows], self.logits[rows]
