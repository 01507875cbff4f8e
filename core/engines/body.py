"""Reading with a `Stack`: the last hidden state of right-padded rows, with little beside products.

What all rows begin with, a system prompt mostly, is read once: under causal attention its hidden
states do not depend on what follows.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from core.engines.attention import attention, causal_mask
from core.engines.stack import Layer, Stack

if TYPE_CHECKING:
    import torch


def last_states(stack: Stack, tokens: "torch.Tensor", shared: int = 0) -> "torch.Tensor":
    """Last hidden states of token rows (b, t) that are padded on the right; (b, t - shared, d).

    The first `shared` tokens are the same in all rows, and are read once; their own states
    are not given back.
    """
    for x in streams(stack, tokens, shared):
        last = x
    last = unit_rms(last[shared:], stack.eps).mul_(stack.norm)
    return last.view(len(tokens), -1, last.shape[1])


def mean_states(stack: Stack, tokens: "torch.Tensor", layers: Collection[int]) -> "torch.Tensor":
    """Mean in float32 of some of the L + 1 hidden states of token rows (b, t); (b, t, d).

    State 0 is where the stream begins, state L has gone through the last norm.
    """
    import torch

    total = torch.zeros(1)
    for number, x in enumerate(streams(stack, tokens)):
        if number in layers:
            ends = number == len(stack.layers)
            total = total + (unit_rms(x, stack.eps) * stack.norm if ends else x).float()
    return (total / len(layers)).view(*tokens.shape, -1)


def streams(stack: Stack, tokens: "torch.Tensor", shared: int = 0) -> "Iterator[torch.Tensor]":
    """The stream (shared + b (t - shared), d) where it begins and after each layer, in place."""
    b, t = tokens.shape
    x = stack.embed(_cat([tokens[0, :shared], tokens[:, shared:].flatten()]))
    reading = Reading(stack, b, shared, t, x)
    yield x
    for layer in stack.layers:
        attend(reading, layer, x)
        mlp(stack, layer, x)
        yield x


class Reading:
    """What the layers of one pass share: sizes, rotary tables and masks."""

    def __init__(self, stack: Stack, b: int, shared: int, t: int, like: "torch.Tensor") -> None:
        import torch

        self.stack, self.b, self.shared = stack, b, shared
        where = torch.arange(t, device=like.device)
        # as the stream has them: the shared positions, then those of one row after the other
        order = _cat([where[:shared], where[shared:].repeat(b)])
        self.tables = {
            rope: turns and (turns[0][0, order, None], turns[1][0, order, None])
            for rope in {layer.rope for layer in stack.layers}
            for turns in [stack.rotary(rope, where[None])]
        }
        windows = {layer.window for layer in stack.layers}
        # a card's kernels know by themselves that a query sees all keys before it
        known = like.is_cuda and not stack.softcap and not shared
        self.masks = {
            window: None if known and not 0 < window < t else causal_mask(t, window, like)
            for window in windows
        }


def attend(reading: Reading, layer: Layer, x: "torch.Tensor") -> None:
    """Add a layer's attention to the stream (shared + b (t - shared), d), in place."""
    import torch

    stack, c, b = reading.stack, reading.shared, reading.b
    made = torch.nn.functional.linear(unit_rms(x, stack.eps), layer.qkv, layer.qkv_bias)
    qkv = heads_of(stack, layer, made, reading.tables[layer.rope])
    mask = reading.masks[layer.window]
    q, k, v = (y[c:].view(b, -1, *y.shape[1:]) for y in qkv)
    if mask is None or not c:
        mixed = attention(stack, q, k, v, mask)
    else:
        first = attention(stack, qkv[0][None, :c], qkv[1][None, :c], qkv[2][None, :c], mask[:c, :c])
        k, v = (
            torch.cat([y[:c].expand(b, *y[:c].shape), own], 1)
            for y, own in zip(qkv[1:], (k, v), strict=True)
        )
        mixed = _cat([first, attention(stack, q, k, v, mask[c:])])
    add(x, mixed, layer.out, layer.out_bias, layer.after_attention, stack.eps)


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


def mlp(stack: Stack, layer: Layer, x: "torch.Tensor") -> None:
    """Add a layer's second half to the stream (r, d), in place."""
    import torch

    made = torch.nn.functional.linear(unit_rms(x, stack.eps), layer.gate_up)
    gate, up = made.chunk(2, 1)
    add(x, stack.activation(gate).mul_(up), layer.down, None, layer.after_mlp, stack.eps)


def add(
    x: "torch.Tensor",
    inner: "torch.Tensor",
    weight: "torch.Tensor",
    bias: "torch.Tensor | None",
    after: "torch.Tensor | None",
    eps: float,
) -> None:
    """Add the product of `inner` (r, f) and `weight` (d, f) to the stream (r, d), in place."""
    import torch

    if after is None:
        x.addmm_(inner, weight.T)
        if bias is not None:
            x.add_(bias)
        return
    x.add_(unit_rms(torch.nn.functional.linear(inner, weight, bias), eps) * after)


def unit_rms(x: "torch.Tensor", eps: float) -> "torch.Tensor":
    """x (..., d) over the root of its mean square, which is taken in float32."""
    import torch

    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return torch.mul(x, scale, out=torch.empty_like(x))


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
