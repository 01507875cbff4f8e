"""Growing k answers to each prompt with a `Stack`: one step reads one token of every answer.

A prompt is read once, and its k answers share its keys and values, so that what they look up
there is one product a prompt. What an answer itself has said lies in room that is made ahead, so
that a step writes one position and copies nothing. Both parts go through one softmax:

    softmax([q Kp | q Ko]) [Vp | Vo] = p_p Vp + p_o Vo

Answers are a grid of prompts times k in the caches. One that has ended leaves the products at once,
and the caches when all answers to its prompt have ended.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.engines.answer_cache import AnswerCache
from core.engines.batches import shared_start
from core.engines.body import Reading, added, attend, heads_of, mlp
from core.engines.logits import Head
from core.engines.products import MOST_BYTES, Product
from core.engines.stack import Layer, Stack
from core.engines.units import unit_rms

if TYPE_CHECKING:
    import torch

READ_TOKENS = {"cpu": 2048, "cuda": 32_768}  # padded tokens of prompts that are read in one pass
HEAD_ROWS = 128  # rows whose logits are in memory at once


class Decoder:
    """A stack and a head laid out for steps of one token a row; made once for a model."""

    def __init__(self, stack: Stack, head: Head) -> None:
        self.stack, self.cap = stack, head.cap
        self.head = Product(head.weight, head.bias, pack=head.weight.nbytes <= MOST_BYTES)


class Decoding:
    """A batch of answers in the making: which rows it holds, and their next logits."""

    def __init__(self, decoder: Decoder, asked: Sequence[list[int]], k: int) -> None:
        import torch

        self.decoder, self.stack = decoder, decoder.stack
        self.k, device = k, decoder.stack.norm.device
        self.rows = np.arange(len(asked) * k)  # row i k + j is answer j to prompt i
        self.slots = torch.arange(len(asked) * k, device=device)  # where in the grid they are
        self.lengths = torch.tensor([len(ids) for ids in asked], device=device)
        self.cache = AnswerCache(self.stack, self.lengths, k)
        self.x = self._read(asked).repeat_interleave(k, 0)

    def logits(self) -> "Iterator[torch.Tensor]":
        """Logits of the next token, some rows (r, V) after the other."""
        last = unit_rms(self.x, self.stack.eps, self.stack.dtype).mul_(self.stack.norm)
        cap = self.decoder.cap
        for rows in last.split(HEAD_ROWS):
            z = self.decoder.head(rows)
            yield z.div_(cap).tanh_().mul_(cap) if cap else z

    def step(self, tokens: "torch.Tensor", going: NDArray[np.bool_]) -> None:
        """Append a token to each row that is `going`; the others leave."""
        import torch

        if not going.all():
            keep = torch.from_numpy(np.flatnonzero(going)).to(tokens.device)
            self.rows, self.slots, tokens = self.rows[going], self.slots[keep], tokens[keep]
            self.slots = self.cache.keep(self.slots)
        x = self.stack.embed(tokens).float()
        at = self.cache.open()[:, None].expand(-1, self.k).flatten()  # position of each slot
        tables = self.stack.tables(at)
        for number, layer in enumerate(self.stack.layers):
            x = self._layer(number, layer, x, tables[layer.rope])
        self.x = x

    def _layer(
        self,
        number: int,
        layer: Layer,
        x: "torch.Tensor",
        table: "tuple[torch.Tensor, torch.Tensor] | None",
    ) -> "torch.Tensor":
        """The stream (r, d) after a layer."""
        stack = self.stack
        made = self._on_grid(layer.qkv(unit_rms(x, stack.eps, stack.dtype)))
        mixed = self.cache.attend(number, layer.window, *heads_of(stack, layer, made, table))
        mixed = mixed if len(mixed) == len(self.slots) else mixed[self.slots]
        x = added(x, layer.out, mixed, layer.after_attention, stack.eps)
        return mlp(stack, layer, x)

    def _on_grid(self, y: "torch.Tensor") -> "torch.Tensor":
        """Rows (r, n) at their slots; answers that have ended are 0."""
        slots = len(self.cache.lengths) * self.k
        if len(y) == slots:
            return y
        return y.new_zeros(slots, y.shape[1]).index_copy_(0, self.slots, y)

    def _read(self, asked: Sequence[list[int]]) -> "torch.Tensor":
        """Read the prompts, some at a time; the stream (n, d) behind the last token of each."""
        import torch

        device = self.stack.norm.device
        size = max(1, READ_TOKENS[device.type] // max(map(len, asked)))
        last = []
        for start in range(0, len(asked), size):
            part = [np.array(ids) for ids in asked[start : start + size]]
            # what a chat template begins with is the same in all; on a card it would not pay
            shared = shared_start(part) if device.type == "cpu" else 0
            ids = np.zeros((len(part), max(map(len, part))), np.int64)
            for row, prompt in enumerate(part):
                ids[row, : len(prompt)] = prompt
            lengths = self.lengths[start : start + size]
            reading = Reading(self.stack, torch.from_numpy(ids).to(device), shared, lengths)
            x = self.stack.embed(reading.ids).float()
            for number, layer in enumerate(self.stack.layers):
                x, k, v = attend(reading, layer, x)
                self.cache.tell(number, start, k, v)
                x = mlp(self.stack, layer, x)
            last.append(x[(lengths - shared).cumsum(0) + shared - 1])
        return torch.cat(last)
