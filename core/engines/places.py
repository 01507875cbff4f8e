"""Where the layers of an adapter are in a `Stack`."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from core.engines.forming import Former
from core.engines.stack import Stack

if TYPE_CHECKING:
    import torch

NAMED = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)$")
PRODUCTS = {
    **dict.fromkeys(("qkv_proj", "q_proj", "k_proj", "v_proj"), "qkv"),
    **dict.fromkeys(("gate_up_proj", "gate_proj", "up_proj"), "gate_up"),
    "o_proj": "out",
    "down_proj": "down",
}


class Place(NamedTuple):
    """An adapted layer makes these columns of what a product of the stack makes."""

    name: str
    columns: slice
    norm: "torch.Tensor | None"  # (in,) what was folded into the product


def known(modules: Sequence[str]) -> bool:
    """Whether a stack has a place for each of these layers, by their names."""
    found = [NAMED.search(name) for name in modules]
    return all(match is not None and match[2] in PRODUCTS for match in found)


def places(stack: Stack, modules: Sequence[str]) -> dict[tuple[int, str], list[Place]]:
    """The adapted layers of each product, by the number of its layer and its name."""
    h, kv, w = stack.heads, stack.kv_heads, stack.width
    inner = stack.layers[0].down.weight.shape[1]
    columns = {
        "q_proj": slice(0, h * w),
        "k_proj": slice(h * w, (h + kv) * w),
        "v_proj": slice((h + kv) * w, None),
        "gate_proj": slice(0, inner),
        "up_proj": slice(inner, None),
    }
    found = defaultdict(list)
    for name in modules:
        match = NAMED.search(name)
        assert match is not None, "asked by `known`"
        number, product = int(match[1]), PRODUCTS[match[2]]
        layer = stack.layers[number]
        norm = {"qkv": layer.attention_norm, "gate_up": layer.mlp_norm}.get(product)
        place = Place(name, columns.get(match[2], slice(None)), norm)
        found[number, product].append(place)
    return dict(found)


class Take:
    """Is given what goes in and out of the products of a stack, and forms what is adapted.

    `wanted` are the products that hold an adapted layer, `end` is the lowest layer with one.
    """

    def __init__(self, stack: Stack, former: Former) -> None:
        self.former, self.places = former, places(stack, former.adapter.modules)
        self.wanted = {product for _, product in self.places}
        self.end = min(layer for layer, _ in self.places)

    def __call__(self, layer: int, product: str, x: "torch.Tensor", g: "torch.Tensor") -> None:
        """`product` is qkv, out, gate_up or down; `x` (r, in) is what it reads, less the folded
        norm, `g` (r, out) the gradient of what it makes.
        """
        for place in self.places.get((layer, product), ()):
            self.former.form(place.name, x, g[:, place.columns], place.norm)
