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

    r, v = logits.shape
    keys = splitmix(keys + _signed(GOLDEN * (position + 1)))
    size = min(r, ROWS[logits.device.type])
    # memory that is used again for all rows: new pages would cost more than the arithmetic
    scaled = torch.full((size, v + -v % BLOCK), -torch.inf, device=logits.device)
    mass = torch.empty_like(scaled)
    tokens = torch.empty(r, dtype=torch.long, device=logits.device)
    for start in range(0, r, size):
        z = logits[start : start + size]
        z = scaled[: len(z), :v].copy_(z).div_(temperature)
        here, own = mass[: len(z)], keys[start : start + len(z)]
        torch.softmax(scaled[: len(z)], 1, out=here)
        tokens[start : start + len(z)] = _from_nucleus(here, own, top_p, scaled[: len(z)])
        scaled[:, v:] = -torch.inf  # where the ratios of masses were
    return tokens


def _from_nucleus(
    mass: "torch.Tensor", keys: "torch.Tensor", top_p: float, spare: "torch.Tensor"
) -> "torch.Tensor":
    """A token of the nucleus of each row of masses (r, V); `spare` (r, V) is overwritten."""
    import torch

    tokens = torch.zeros(len(mass), dtype=torch.long, device=mass.device)
    left = torch.arange(len(mass), device=mass.device)
    for attempt in range(ROUNDS):
        sums = mass.view(len(mass), -1, BLOCK).sum(2)
        found = _race(mass, sums, keys, attempt)
        tokens[left] = found
        own = mass.gather(1, found[:, None])
        # a rounded quotient is above 1 exactly where the mass is above the token's own
        ratio = torch.div(mass, own, out=spare[: len(mass)])
        above = torch.threshold_(ratio, 1.0, 0.0).sum(1) * own[:, 0]
        again = above >= top_p * sums.sum(1)
        if not again.any():
            return tokens
        mass, keys, left = mass[again], keys[again], left[again]
    sure = nucleus(mass, top_p)
    tokens[left] = _race(sure, sure.view(len(sure), -1, BLOCK).sum(2), keys, ROUNDS)
    return tokens


def _race(
    mass: "torch.Tensor", sums: "torch.Tensor", keys: "torch.Tensor", attempt: int
) -> "torch.Tensor":
    """A token of each row of masses (r, V), drawn in proportion; `sums` are those of blocks."""
    import torch

    noise = exponential(keys, attempt, sums.shape[1] + BLOCK)
    first = (noise[:, BLOCK:] / sums).argmin(1)
    rows = torch.arange(len(mass), device=mass.device)
    inside = mass.view(len(mass), -1, BLOCK)[rows, first]
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
