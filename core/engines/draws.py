"""Drawing tokens: temperature, exact top-p without a sort, and noise that no batch changes.

The nucleus of top-p is the smallest set of likeliest tokens whose mass reaches p. A token is in
it exactly when the mass strictly above it is below p. So: draw from the whole softmax, accept a
token of the nucleus, otherwise draw again; what is accepted has the renormalised distribution.
A draw is accepted with a chance of p or more, and no vocabulary is sorted for it.

To draw from masses is a race: with E_i exponential, the i of the least E_i / mass_i wins with a
chance of mass_i / sum(mass). Blocks of tokens race first, then the tokens of the winner. Unlike
an accumulated sum, which shifts every border behind it, a rounding error of a logit changes
the winner only where it is about as large as the lead: one draw in several hundred thousand.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROUNDS = 8  # rejections before the few rows that are left are sorted after all
BLOCK = 256  # tokens whose masses race as one
ROWS = {"cpu": 16, "cuda": 256}  # rows at a time: float32 masses that stay in the cache
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def key(seed: int, sample_id: str, answer: int) -> int:
    """A signed 64-bit number for one answer of one sample."""
    digest = hashlib.sha256(f"{seed}:{sample_id}:{answer}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def draw(
    logits: "torch.Tensor", keys: "torch.Tensor", position: int, temperature: float, top_p: float
) -> "torch.Tensor":
    """One token for each row of logits (r, V), by the row's key (r,) and the position; (r,)."""
    import torch

    size = ROWS[logits.device.type]
    steps = splitmix(keys + _signed(GOLDEN * (position + 1)))
    parts = zip(logits.split(size), steps.split(size), strict=True)
    return torch.cat([_draw_rows(z, s, temperature, top_p) for z, s in parts])


def _draw_rows(
    logits: "torch.Tensor", keys: "torch.Tensor", temperature: float, top_p: float
) -> "torch.Tensor":
    import torch

    z = logits.float()
    mass = ((z - z.amax(1, keepdim=True)) / temperature).exp_()  # (r, V), the likeliest has 1
    mass = torch.nn.functional.pad(mass, (0, -mass.shape[1] % BLOCK))
    tokens = torch.zeros(len(mass), dtype=torch.long, device=mass.device)
    left = torch.arange(len(mass), device=mass.device)
    for attempt in range(ROUNDS):
        found = _race(mass, keys, attempt)
        tokens[left] = found
        own = mass.gather(1, found[:, None])
        above = torch.where(mass > own, mass, 0.0).sum(1)
        again = above >= top_p * mass.sum(1)
        if not again.any():
            return tokens
        mass, keys, left = mass[again], keys[again], left[again]
    tokens[left] = _race(nucleus(mass, top_p), keys, ROUNDS)
    return tokens


def _race(mass: "torch.Tensor", keys: "torch.Tensor", attempt: int) -> "torch.Tensor":
    """A token of each row of masses (r, V), drawn in proportion; V is whole blocks."""
    import torch

    blocks = mass.view(len(mass), -1, BLOCK)
    noise = exponential(keys, attempt, blocks.shape[1] + BLOCK)
    first = (noise[:, BLOCK:] / blocks.sum(2)).argmin(1)
    inside = blocks[torch.arange(len(mass), device=mass.device), first]
    return first * BLOCK + (noise[:, :BLOCK] / inside).argmin(1)


def nucleus(mass: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """The masses (r, V) of the nucleus, and 0 outside it; by sorting."""
    ordered = mass.sort(dim=1, descending=True).values
    before = ordered.double().cumsum(1) - ordered
    size = (before < top_p * ordered.double().sum(1, keepdim=True)).sum(1, keepdim=True)
    least = ordered.gather(1, size - 1)
    return mass.where(mass >= least, 0.0)


def exponential(keys: "torch.Tensor", attempt: int, width: int) -> "torch.Tensor":
    """Exponential numbers (r, width) that depend on each row's key and the attempt alone.

    SplitMix64 (Steele, Lea and Flood, 2014) with random access to its sequence.
    """
    import torch

    index = torch.arange(1, width + 1, device=keys.device) * _signed(GOLDEN)
    bits = splitmix(splitmix(keys + attempt)[:, None] + index)
    return -((_shifted(bits, 11).double() + 0.5) * 2.0**-53).log()


def splitmix(z: "torch.Tensor") -> "torch.Tensor":
    """The numbers of SplitMix64 from its states (..., int64); products wrap around."""
    z = (z ^ _shifted(z, 30)) * _signed(FIRST)
    z = (z ^ _shifted(z, 27)) * _signed(SECOND)
    return z ^ _shifted(z, 31)


def _shifted(z: "torch.Tensor", by: int) -> "torch.Tensor":
    """Right shift that brings in zeros, not the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    """The int64 with the same low 64 bits."""
    return (number + 2**63) % 2**64 - 2**63
