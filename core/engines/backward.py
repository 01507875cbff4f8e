"""A forward pass of a `Stack` that keeps what its gradient needs, and the way back, by hand.

The weights are frozen, so only gradients of activations are needed, written dx here. With a
product y = x W^T: dx = dy W. With y = act(a) u: du = dy act(a) and da = dy u act'(a). What was
turned by an angle goes back by minus the angle. Norms are in `core.engines.units`, attention is in
`core.engines.attending`. Tokens of all samples stand one below the other, (r, d).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engines import attending
from core.engines.attending import Heads
from core.engines.body import rotated
from core.engines.pieces import Piece
from core.engines.places import Take
from core.engines.products import Product
from core.engines.stack import Layer, Stack
from core.engines.units import Unit, through, unit

if TYPE_CHECKING:
    import torch


@dataclass
class Kept:
    """What the gradient of a layer needs."""

    before: Unit  # (r, d) what `qkv` reads
    normed: Unit | None  # (r, h + kv, w) queries and keys, where they are normed
    heads: list[Heads]
    mixed: "torch.Tensor"  # (r, h w) what `out` reads
    after_attention: Unit | None
    between: Unit  # (r, d) what `gate_up` reads
    made: "torch.Tensor"  # (r, 2 f) what `gate_up` makes
    after_mlp: Unit | None


class Pass:
    """One batch through the layers of a stack, forward and back."""

    def __init__(self, stack: Stack, tokens: "torch.Tensor", pieces: Sequence[Piece]) -> None:
        """Read tokens (r,), as `core.engines.pieces` lays them."""
        import torch

        self.stack, self.pieces = stack, pieces
        where = torch.cat([torch.arange(p.t, device=tokens.device).repeat(p.n) for p in pieces])
        self.tables = stack.tables(where)
        self.stream = stack.embed(tokens).float()  # see `core.engines.body`
        self.kept = [self._layer(layer) for layer in stack.layers]

    def last(self, rows: "torch.Tensor") -> Unit:
        """What the last norm makes of some tokens, before its weights."""
        return unit(self.stream[rows], self.stack.eps, self.stack.dtype)

    def _layer(self, layer: Layer) -> Kept:
        stack = self.stack
        before = unit(self.stream, stack.eps, stack.dtype)
        made = layer.qkv(before.y)
        normed, heads = self._heads(layer, made.view(len(made), -1, stack.width))
        mixed = made.new_empty(len(made), stack.heads * stack.width)
        for piece, some in zip(self.pieces, heads, strict=True):
            self._to_tokens(attending.attend(some), piece, mixed[piece.rows])
        after_attention = self._add(mixed, layer.out, layer.after_attention)
        between = unit(self.stream, stack.eps, stack.dtype)
        made = layer.gate_up(between.y)
        gate, up = made.chunk(2, 1)
        inner = stack.activation(gate).mul_(up)
        after_mlp = self._add(inner, layer.down, layer.after_mlp)
        return Kept(before, normed, heads, mixed, after_attention, between, made, after_mlp)

    def _heads(self, layer: Layer, made: "torch.Tensor") -> tuple[Unit | None, list[Heads]]:
        """Queries, keys and values of each piece, from what `qkv` made, (r, h + 2 kv, w)."""
        h, kv = self.stack.heads, self.stack.kv_heads
        both, v = made.split([h + kv, kv], 1)  # queries and keys, normed and turned alike
        normed = None
        if (weight := self._head_norm(layer)) is not None:
            normed = unit(both, self.stack.eps)
            both = normed.y * weight
        if (table := self.tables[layer.rope]) is not None:
            both = rotated(both, *table)
        found = []
        for piece in self.pieces:
            parts = (both[piece.rows, :h], both[piece.rows, h:], v[piece.rows])
            q, k, values = (self._to_heads(part, piece) for part in parts)
            q = q.mul_(self.stack.scale)
            found.append(Heads(q, k, values, layer.window, self.stack.softcap))
        return normed, found

    def _head_norm(self, layer: Layer) -> "torch.Tensor | None":
        """What normed queries and keys are multiplied by, (h + kv, w)."""
        import torch

        if layer.q_norm is None or layer.k_norm is None:
            return None
        h, kv = self.stack.heads, self.stack.kv_heads
        return torch.cat([layer.q_norm.expand(h, -1), layer.k_norm.expand(kv, -1)])

    def _to_heads(self, x: "torch.Tensor", piece: Piece) -> "torch.Tensor":
        """Of one piece, (n t, heads, w) or (n t, heads w) -> (n kv, t heads / kv, w)."""
        kv, w = self.stack.kv_heads, self.stack.width
        apart = x.view(piece.n, piece.t, kv, -1, w)
        return apart.transpose(1, 2).reshape(piece.n * kv, -1, w)

    def _to_tokens(self, x: "torch.Tensor", piece: Piece, into: "torch.Tensor") -> None:
        """The way back, into (n t, heads, w) or (n t, heads w)."""
        kv, w = self.stack.kv_heads, self.stack.width
        apart = into.view(piece.n, piece.t, kv, -1, w)
        apart.copy_(x.view(piece.n, kv, piece.t, -1, w).transpose(1, 2))

    def _add(
        self, inner: "torch.Tensor", product: Product, after: "torch.Tensor | None"
    ) -> Unit | None:
        """Add a product to the stream; its normed rows, where a norm comes after it."""
        if after is None and inner.dtype == self.stream.dtype:
            self.stream = product.onto(self.stream, inner)
            return None
        made = product(inner)
        if after is None:
            self.stream += made
            return None
        normed = unit(made, self.stack.eps)
        self.stream += normed.y * after
        return normed

    def backward(self, dx: "torch.Tensor", take: Take) -> None:
        """Go back with the gradient of the stream (r, d), to the lowest layer that `take` wants.

        The pass is used up by this.
        """
        for number in reversed(range(take.end, len(self.stack.layers))):
            layer, kept = self.stack.layers[number], self.kept.pop()
            self._mlp_back(number, layer, kept, dx, take)
            made = self._attention_back(number, layer, kept, dx, take)
            if "qkv" in take.wanted:
                take(number, "qkv", kept.before.y, made)
            if number > take.end:
                kept.before.backward(made @ layer.qkv.weight, dx)

    def _mlp_back(
        self, number: int, layer: Layer, kept: Kept, dx: "torch.Tensor", take: Take
    ) -> None:
        import torch

        dy = through(kept.after_mlp, layer.after_mlp, dx.to(self.stack.dtype))
        gate, up = kept.made.chunk(2, 1)
        with torch.enable_grad():
            a = gate.detach().requires_grad_()
            acted = self.stack.activation(a)
        if "down" in take.wanted:
            take(number, "down", acted.detach() * up, dy)
        inner = dy @ layer.down.weight
        (d_gate,) = torch.autograd.grad(acted, a, inner * up)
        torch.mul(inner, acted.detach(), out=up)  # in place of what was kept
        gate.copy_(d_gate)
        if "gate_up" in take.wanted:
            take(number, "gate_up", kept.between.y, kept.made)
        kept.between.backward(kept.made @ layer.gate_up.weight, dx)

    def _attention_back(
        self, number: int, layer: Layer, kept: Kept, dx: "torch.Tensor", take: Take
    ) -> "torch.Tensor":
        """The gradient (r, (h + 2 kv) w) of what `qkv` made."""

        h, kv = self.stack.heads, self.stack.kv_heads
        dy = through(kept.after_attention, layer.after_attention, dx.to(self.stack.dtype))
        if "out" in take.wanted:
            take(number, "out", kept.mixed, dy)
        mixed = dy @ layer.out.weight
        made = mixed.new_empty(len(dx), h + 2 * kv, self.stack.width)
        for piece, heads in zip(self.pieces, kept.heads, strict=True):
            dq, dk, dv = attending.backward(heads, self._to_heads(mixed[piece.rows], piece))
            rows = made[piece.rows]
            self._to_tokens(dq.mul_(self.stack.scale), piece, rows[:, :h])
            self._to_tokens(dk, piece, rows[:, h : h + kv])
            self._to_tokens(dv, piece, rows[:, h + kv :])
        both = made[:, : h + kv]
        if (table := self.tables[layer.rope]) is not None:
            both.copy_(rotated(both, table[0], -table[1]))
        if (weight := self._head_norm(layer)) is not None and kept.normed is not None:
            kept.normed.backward(both * weight, both.zero_())
        return made.view(len(dx), -1)
