"""Dropout in a part of a batch: what the whole batch would lose, and nothing else.

A mask is drawn in the shape of what it falls on, so a batch that is cut would lose other numbers
than the batch as one. Here the mask of the whole is drawn, and the part takes its rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Shape = tuple[int, int]  # rows and tokens of a padded batch


@contextmanager
def as_in(model: Any, whole: Shape, part: Shape, first: int) -> Iterator[None]:
    """Run a part of a batch, from row `first` on, with the masks of the whole batch.

    The generator must stand where it would at the beginning of the whole, and stands in the end
    where it would at the end. Dropout inside an attention kernel is the kernel's own, and drawn
    anew.
    """
    import torch

    there = () if part == whole else model.modules()
    drops: list[Any] = [module for module in there if isinstance(module, torch.nn.Dropout)]
    for module in drops:
        module.forward = partial(_dropped, module.forward, module, whole, part, first)
    try:
        yield
    finally:
        for module in drops:
            del module.forward  # the class has its own


def _dropped(
    own: Any, module: Any, whole: Shape, part: Shape, first: int, x: "torch.Tensor"
) -> "torch.Tensor":
    """Dropout of x (b, t, ...), with the rows from `first` on of a mask of the whole."""
    import torch

    if not module.training or x.shape[:2] != part:
        dropped: torch.Tensor = own(x)
        return dropped
    ones = x.new_ones((*whole, *x.shape[2:]))
    mask = torch.nn.functional.dropout(ones, module.p)
    rows, tokens = part
    return x * mask[first : first + rows, :tokens].clone()  # no view: that would keep it all
