"""Attention of a `Stack`: torch's own kernel, or plain products where those are quicker."""

from typing import TYPE_CHECKING

from core.engines.stack import Stack

if TYPE_CHECKING:
    import torch

QUERIES = 128  # positions whose cosines with all keys are in memory at once


def causal_mask(t: int, window: int, like: "torch.Tensor") -> "torch.Tensor":
    """What is added to cosines (t, t): 0 where a query sees a key, -inf elsewhere."""
    import torch

    where = torch.arange(t, device=like.device)
    behind = where[:, None] - where
    unseen = (behind < 0) | (behind >= (window or t))
    return torch.zeros(t, t, dtype=like.dtype, device=like.device).masked_fill_(unseen, -torch.inf)


def attention(
    stack: Stack,
    q: "torch.Tensor",
    k: "torch.Tensor",
    v: "torch.Tensor",
    mask: "torch.Tensor | None",
) -> "torch.Tensor":
    """Values mixed by attention, (b t, h w): q (b, t, h, w), k and v (b, s, kv, w), mask (t, s).

    Without a mask s is t, and a query sees all keys before it and its own.
    """
    import torch

    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    if mask is not None and (stack.softcap or (q.dtype == torch.bfloat16 and not q.is_cuda)):
        found = blocked_attention(stack, q, k, v, mask)
    else:
        found = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=mask is None, scale=stack.scale, enable_gqa=True
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
