"""Growing k answers to each prompt by transformers' own forward: any causal language model.

Prompts are padded on the left and read in one pass; their keys and values are taken k times.
"""

from collections.abc import Iterator, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.engines.kv_cache import roomy_cache

if TYPE_CHECKING:
    import torch

LEAVE = 0.25  # share of ended answers at which they leave: each time, the others are copied


class PlainDecoding:
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

    def logits(self) -> "Iterator[torch.Tensor]":
        """Logits of the next token, some rows (r, V) after the other."""
        yield self.last

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
        self.last = out.logits[:, -1]

    def _keep(self, rows: "torch.Tensor") -> None:
        """Go on with these rows; one may be taken several times."""
        self.cache.reorder_cache(rows)
        self.mask, self.last = self.mask[rows], self.last[rows]
