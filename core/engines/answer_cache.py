"""Keys and values of prompts that are shared by k answers each, and of those answers."""

from typing import TYPE_CHECKING

from core.engines.stack import Stack

if TYPE_CHECKING:
    import torch

ROOM = 16  # positions by which the room of all answers grows; it is always used whole
LEAVE = 0.25  # share of ended prompts at which they leave: each time, the others are copied


class AnswerCache:
    """Caches of all layers for n prompts of `lengths` (n,) with k answers each.

    Prompts: keys (n, kv, w, s) and values (n, kv, s, w), s the longest prompt. Answers: keys and
    values (n, kv, k, room, w). Positions that nothing was written to are 0, and masked.
    """

    def __init__(self, stack: Stack, lengths: "torch.Tensor", k: int) -> None:
        import torch

        self.stack, self.lengths, self.k, self.said = stack, lengths, k, 0
        longest, w, like = int(lengths.max()), stack.width, stack.norm

        def empty(*shape: int) -> "list[torch.Tensor]":
            size = (len(lengths), stack.kv_heads, *shape)
            return [torch.zeros(size, dtype=like.dtype, device=like.device) for _ in stack.layers]

        self.asked_keys, self.asked_values = empty(w, longest), empty(longest, w)
        self.own_keys, self.own_values = empty(k, 0, w), empty(k, 0, w)
        self.masks: dict[int, torch.Tensor] = {}

    def tell(self, number: int, start: int, keys: "torch.Tensor", values: "torch.Tensor") -> None:
        """Keep keys and values (b, t, kv, w) of the prompts from `start` on, at one layer."""
        rows, t = slice(start, start + len(keys)), keys.shape[1]
        self.asked_keys[number][rows, :, :, :t] = keys.permute(0, 2, 3, 1)
        self.asked_values[number][rows, :, :t] = values.transpose(1, 2)

    def open(self) -> "torch.Tensor":
        """Go on by a position; returns where it is in the text of each prompt, (n,)."""
        if self.said == self.own_keys[0].shape[3]:
            for caches in (self.own_keys, self.own_values):
                caches[:] = [_roomier(old) for old in caches]
        here = self.lengths + self.said
        self.said += 1
        self.masks = {w: self._mask(w, here) for w in {x.window for x in self.stack.layers}}
        return here

    def attend(
        self, number: int, window: int, q: "torch.Tensor", k: "torch.Tensor", v: "torch.Tensor"
    ) -> "torch.Tensor":
        """Values mixed by attention, (n k, h w); q (n k, h, w), k and v (n k, kv, w) join."""
        import torch

        n, (h, kv, w) = len(self.lengths), (q.shape[1], k.shape[1], q.shape[2])
        own_keys, own_values = self.own_keys[number], self.own_values[number]
        own_keys[:, :, :, self.said - 1] = k.view(n, self.k, kv, w).transpose(1, 2)
        own_values[:, :, :, self.said - 1] = v.view(n, self.k, kv, w).transpose(1, 2)
        rows, room = self.k * h // kv, own_keys.shape[3]  # of queries that share keys
        # the k answers of a prompt stand below each other, and so do the heads that share keys
        q = (q * self.stack.scale).view(n, self.k, kv, -1, w).transpose(1, 2).reshape(n * kv, -1, w)
        asked = q @ self.asked_keys[number].flatten(0, 1)
        own = q.view(n * kv * self.k, -1, w) @ own_keys.view(-1, room, w).mT
        z = torch.cat([asked, own.view(n * kv, rows, room)], 2)
        if self.stack.softcap:
            z = z.div_(self.stack.softcap).tanh_().mul_(self.stack.softcap)
        p = z.view(n, kv * rows, -1).add_(self.masks[window]).softmax(-1).view(n * kv, rows, -1)
        first, then = p.split([asked.shape[2], room], 2)
        mixed = then.reshape(n * kv * self.k, -1, room) @ own_values.view(-1, room, w)
        mixed = mixed.view(n * kv, rows, w) + first @ self.asked_values[number].flatten(0, 1)
        found: torch.Tensor = mixed.view(n, kv, self.k, -1).transpose(1, 2)
        return found.reshape(n * self.k, -1)

    def keep(self, slots: "torch.Tensor") -> "torch.Tensor":
        """Prompts without a slot (r,) in use leave once they are many; the slots of the others."""
        import torch

        prompts, place = torch.unique(slots // self.k, return_inverse=True)
        if len(prompts) > (1 - LEAVE) * len(self.lengths):
            return slots
        self.lengths = self.lengths[prompts]
        for caches in (self.asked_keys, self.asked_values, self.own_keys, self.own_values):
            caches[:] = [old[prompts] for old in caches]
        found: torch.Tensor = place * self.k + slots % self.k
        return found

    def _mask(self, window: int, here: "torch.Tensor") -> "torch.Tensor":
        """What is added to cosines (n, 1, s + room) of queries at `here` (n,): 0 or -inf."""
        import torch

        asked = torch.arange(self.asked_keys[0].shape[3], device=here.device)
        own = torch.arange(self.own_keys[0].shape[3], device=here.device)
        lengths = self.lengths[:, None]
        seen = torch.cat([(asked < lengths), (own < self.said).expand(len(lengths), -1)], 1)
        if window:
            at = torch.cat([asked.expand(len(lengths), -1), own + lengths], 1)
            seen &= at > here[:, None] - window
        mask = torch.zeros(seen.shape, dtype=self.stack.norm.dtype, device=here.device)
        return mask.masked_fill_(~seen, -torch.inf)[:, None]


def _roomier(old: "torch.Tensor") -> "torch.Tensor":
    """A cache (n, kv, k, room, w) with more room."""
    import torch

    n, kv, k, _, w = old.shape
    return torch.cat([old, old.new_zeros(n, kv, k, ROOM, w)], 3)
