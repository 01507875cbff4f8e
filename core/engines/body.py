"""Reading with a `Stack`: the hidden states of right-padded rows, with little beside products.

What all rows begin with, a system prompt mostly, is read once: under causal attention its hidden
states do not depend on what follows. Pads are not read at all, but for the attention. The stream is
float32 whatever the products are: sixty roundings of a sum are most of what bfloat16 would lose.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from core.engines.attention import attention, causal_mask
from core.engines.products import Product
from core.engines.stack import Layer, Stack
from core.engines.units import unit_rms

if TYPE_CHECKING:
    import torch


def last_states(
    stack: Stack,
    tokens: "torch.Tensor",
    shared: int = 0,
    lengths: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """Last hidden states of token rows (b, t) that are padded on the right; (b, t - shared, d).

    The first `shared` tokens are the same in all rows, and are read once; their own states
    are not given back. `lengths` (b,) without the pads, whose states are zero then; without
    them all t tokens of each row are read.
    """
    reading = Reading(stack, tokens, shared, lengths)
    for x in streams(reading):
        last = x
    return reading.spread(unit_rms(last[shared:], stack.eps, stack.dtype).mul_(stack.norm))


def mean_states(
    stack: Stack,
    tokens: "torch.Tensor",
    layers: Collection[int],
    lengths: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """Mean in float32 of some of the L + 1 hidden states of token rows (b, t); (b, t, d).

    State 0 is where the stream begins, state L has gone through the last norm. `lengths` as in
    `last_states`.
    """
    import torch

    reading = Reading(stack, tokens, 0, lengths)
    total = torch.zeros(1, device=tokens.device)
    for number, x in enumerate(streams(reading)):
        if number in layers:
            ends = number == len(stack.layers)
            total = total + (unit_rms(x, stack.eps).mul_(stack.norm) if ends else x)
    return reading.spread(total / len(layers))


def streams(reading: "Reading") -> "Iterator[torch.Tensor]":
    """The stream (r, d) where it begins and after each layer; see `Reading`.

    One is good until the next is asked for.
    """
    x = reading.stack.embed(reading.ids).float()
    yield x
    for layer in reading.stack.layers:
        x, _, _ = attend(reading, layer, x)
        x = mlp(reading.stack, layer, x)
        yield x


class Reading:
    """What the layers of one pass share: which tokens are read, rotary tables and masks.

    The stream holds the shared tokens, then those of one row after the other, and no pads.
    """

    def __init__(
        self, stack: Stack, tokens: "torch.Tensor", shared: int, lengths: "torch.Tensor | None"
    ) -> None:
        import torch

        self.stack, self.shared = stack, shared
        self.b, self.t = tokens.shape
        t = self.t
        where = torch.arange(t, device=tokens.device)
        own, order = tokens[:, shared:].flatten(), where[shared:].repeat(self.b)
        self.real = None
        if lengths is not None and int(lengths.min()) < t:
            self.real = (where[shared:] < lengths[:, None]).flatten().nonzero()[:, 0]
            own, order = own[self.real], order[self.real]
        self.ids, order = _cat([tokens[0, :shared], own]), _cat([where[:shared], order])
        self.tables = stack.tables(order)
        # a card's kernels know by themselves that a query sees all keys before it
        known = tokens.is_cuda and not stack.softcap and not shared
        self.masks = {
            window: None if known and not 0 < window < t else causal_mask(t, window, stack.norm)
            for window in {layer.window for layer in stack.layers}
        }

    def spread(self, own: "torch.Tensor") -> "torch.Tensor":
        """Rows of the stream behind the shared ones (r, ...) as (b, t - shared, ...), pads zero."""
        if self.real is None:
            return own.view(self.b, -1, *own.shape[1:])
        size = self.t - self.shared
        full = own.new_zeros(self.b * size, *own.shape[1:])
        full[self.real] = own
        return full.view(self.b, size, *own.shape[1:])

    def gathered(self, spread: "torch.Tensor") -> "torch.Tensor":
        """Rows (b (t - shared), d) without the pads."""
        return spread if self.real is None else spread[self.real]


def attend(
    reading: Reading, layer: Layer, x: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """The stream (r, d) with a layer's attention added; the one given is used up.

    Returns: the stream, and keys and values of every position of every row, (b, t, kv, w), those
    of pads 0.
    """
    import torch

    stack, c, b = reading.stack, reading.shared, reading.b
    made = layer.qkv(unit_rms(x, stack.eps, stack.dtype))
    qkv = heads_of(stack, layer, made, reading.tables[layer.rope])
    mask = reading.masks[layer.window]
    q, k, v = (reading.spread(y[c:]) for y in qkv)
    if mask is None or not c:
        mixed = reading.gathered(attention(stack, q, k, v, mask))
    else:
        first = attention(stack, qkv[0][None, :c], qkv[1][None, :c], qkv[2][None, :c], mask[:c, :c])
        k, v = (
            torch.cat([y[:c].expand(b, *y[:c].shape), own], 1)
            for y, own in zip(qkv[1:], (k, v), strict=True)
        )
        mixed = _cat([first, reading.gathered(attention(stack, q, k, v, mask[c:]))])
    x = added(x, layer.out, mixed, layer.after_attention, stack.eps)
    return x, k, v


def heads_of(
    stack: Stack,
    layer: Layer,
    made: "torch.Tensor",
    table: "tuple[torch.Tensor, torch.Tensor] | None",
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Queries (r, h, w), keys and values (r, kv, w) of what `qkv` made, normed and rotated."""
    h, kv = stack.heads, stack.kv_heads
    q, k, v = made.view(len(made), h + 2 * kv, stack.width).split([h, kv, kv], 1)
    if layer.q_norm is not None and layer.k_norm is not None:
        q = unit_rms(q, stack.eps) * layer.q_norm
        k = unit_rms(k, stack.eps) * layer.k_norm
    if table is not None:
        q, k = rotated(q, *table), rotated(k, *table)
    return q, k, v


def mlp(stack: Stack, layer: Layer, x: "torch.Tensor") -> "torch.Tensor":
    """The stream (r, d) with a layer's second half added; the one given is used up."""
    made = layer.gate_up(unit_rms(x, stack.eps, stack.dtype))
    gate, up = made.chunk(2, 1)
    inner = stack.activation(gate).mul_(up)
    return added(x, layer.down, inner, layer.after_mlp, stack.eps)


def added(
    x: "torch.Tensor",
    product: Product,
    inner: "torch.Tensor",
    after: "torch.Tensor | None",
    eps: float,
) -> "torch.Tensor":
    """The stream (r, d) with a product of `inner` (r, f) added, normed before by some families."""
    if after is None and x.dtype == inner.dtype:
        return product.onto(x, inner)
    made = product(inner)
    return x.add_(made if after is None else unit_rms(made, eps) * after)


def rotated(x: "torch.Tensor", cos: "torch.Tensor", sin: "torch.Tensor") -> "torch.Tensor":
    """Heads (..., w) turned by angles; tables (..., r) turn the first r of w numbers."""
    import torch

    r = cos.shape[-1]
    turned, rest = x[..., :r], x[..., r:]
    a, b = turned.chunk(2, -1)
    found = torch.addcmul(torch.cat([-b, a], -1).mul_(sin), turned, cos)
    return torch.cat([found, rest], -1) if rest.shape[-1] else found


def _cat(parts: "list[torch.Tensor]") -> "torch.Tensor":
    import torch

    return torch.cat(parts)
