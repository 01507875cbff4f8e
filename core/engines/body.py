"""Reading with a `Stack`: the last hidden state of right-padded rows, with little beside products.

What all rows begin with, a system prompt mostly, is read once: under causal attention its hidden
states do not depend on what follows.
"""

from typing import TYPE_CHECKING

from core.engines.stack import Layer, Stack

if TYPE_CHECKING:
    import torch


QUERIES = 128  # positions whose cosines with all keys are in memory at once, in bfloat16


def last_states(stack: Stack, tokens: "torch.Tensor", shared: int = 0) -> "torch.Tensor":
    """Last hidden states of token rows (b, t) that are padded on the right; (b, t - shared, d).

    The first `shared` tokens are the same in all rows, and are read once; their own states
    are not given back.
    """
    b, t = tokens.shape
    own = t - shared
    flat = stack.embed(_cat([tokens[:1, :shared].flatten(), tokens[:, shared:].flatten()]))
    reading = Reading(stack, b, shared, t, flat)
    for layer in stack.layers:
        attend(reading, layer, flat)
        mlp(stack, layer, flat)
    last = unit_rms(flat[shared:], stack.eps) * stack.norm
    return last.view(b, own, -1)


class Reading:
    """What the layers of one pass share: sizes, rotary tables and masks."""

    def __init__(self, stack: Stack, b: int, shared: int, t: int, like: "torch.Tensor") -> None:
        import torch

        self.stack, self.b, self.shared, self.t = stack, b, shared, t
        where = torch.arange(t, device=like.device)
        ropes = {layer.rope for layer in stack.layers}
        tables = {rope: stack.rotary(rope, where[None]) for rope in ropes}
        # one position after the other, as the stream has them: the shared ones, then row by row
        order = _cat([where[:shared], where[shared:].repeat(b)])
        self.tables = {
            rope: None
            if found is None
            else (found[0][0][order][:, None], found[1][0][order][:, None])
            for rope, found in tables.items()
        }
        windows = {layer.window for layer in stack.layers}
        self.masks = {w: causal_mask(t, w, like) for w in windows}


def causal_mask(t: int, window: int, like: "torch.Tensor") -> "torch.Tensor":
    """What is added to cosines (t, t): 0 where a query sees a key, -inf elsewhere."""
    import torch

    where = torch.arange(t, device=like.device)
    behind = where[:, None] - where
    hidden_ = behind < 0
    if window:
        hidden_ |= behind >= window
    return torch.zeros(t, t, dtype=like.dtype, device=like.device).masked_fill_(hidden_, -torch.inf)


def attend(reading: Reading, layer: Layer, x: "torch.Tensor") -> None:
    """Add a layer's attention to the stream (shared + b own, d), in place."""
    import torch

    stack, c, b = reading.stack, reading.shared, reading.b
    made = torch.nn.functional.linear(unit_rms(x, stack.eps), layer.qkv, layer.qkv_bias)
    q, k, v = heads_of(stack, layer, made, reading.tables[layer.rope])
    mask = reading.masks[layer.window]
    mixed = torch.empty(len(x), stack.heads * stack.width, dtype=x.dtype, device=x.device)
    if c:
        mixed[:c] = _mixed(stack, q[None, :c], k[None, :c], v[None, :c], mask[:c, :c])
        k, v = (
            torch.cat([y[:c].expand(b, *y[:c].shape), y[c:].view(b, -1, *y.shape[1:])], 1)
            for y in (k, v)
        )
        q, mask = q[c:].view(b, -1, *q.shape[1:]), mask[c:]
    else:
        q, k, v = (y.view(b, -1, *y.shape[1:]) for y in (q, k, v))
    mixed[c:] = _mixed(stack, q, k, v, mask)
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


def _mixed(
    stack: Stack, q: "torch.Tensor", k: "torch.Tensor", v: "torch.Tensor", mask: "torch.Tensor"
) -> "torch.Tensor":
    """Values mixed by attention, (b t, h w): q (b, t, h, w), k and v (b, s, kv, w), mask (t, s)."""
    import torch

    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    if stack.softcap or (q.dtype == torch.bfloat16 and q.device.type == "cpu"):
        found = blocked_attention(stack, q, k, v, mask)
    else:
        found = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=stack.scale, enable_gqa=True
        )
    return found.transpose(1, 2).reshape(-1, stack.heads * stack.width)


def blocked_attention(
    stack: Stack, q: "torch.Tensor", k: "torch.Tensor", v: "torch.Tensor", mask: "torch.Tensor"
) -> "torch.Tensor":
    """Attention by plain products, `QUERIES` queries at a time, keys behind them left out.

    q (b, h, t, w), k and v (b, kv, s, w), mask (t, s) added to the cosines; (b, h, t, w). The heads
    that share keys stand below each other, so that each product is large.
    """
    import torch

    b, h, t, w = q.shape
    kv, s = k.shape[1], k.shape[2]
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    q = q * stack.scale
    for start in range(0, t, QUERIES):
        end = min(start + QUERIES, t)
        seen = s - t + end
        rows = q[:, :, start:end].reshape(b, kv, -1, w)
        z = (rows @ k[:, :, :seen].mT).view(b, h, end - start, seen)
        if stack.softcap:
            z = z.div_(stack.softcap).tanh_().mul_(stack.softcap)
        p = z.add_(mask[start:end, :seen]).softmax(-1)
        mixed = p.view(b, kv, -1, seen) @ v[:, :, :seen]
        out[:, :, start:end] = mixed.view(b, h, end - start, w)
    return out


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
