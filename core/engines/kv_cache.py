"""Keys and values of many rows that grow by one token a step.

transformers' own layers copy everything at each step to make room for one more token. These
keep free room at the end, so that a step writes one token and copies nothing.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROOM = 64  # positions that are added when a layer is full


@cache
def _layer_class() -> type:
    """The cache layer; made on first use, as transformers is imported lazily."""
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values (rows, heads, room, width), the first `used` positions filled."""

        keys: Any
        values: Any
        used = 0

        def update(
            self, key_states: "torch.Tensor", value_states: "torch.Tensor", *args: Any, **kw: Any
        ) -> "tuple[torch.Tensor, torch.Tensor]":
            """Add positions at the end; returns views of all that are filled."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
            end = self.used + key_states.shape[2]
            if end > self.keys.shape[2]:
                self.keys = _roomier(self.keys[:, :, : self.used], end + ROOM)
                self.values = _roomier(self.values[:, :, : self.used], end + ROOM)
            self.keys[:, :, self.used : end] = key_states
            self.values[:, :, self.used : end] = value_states
            self.used = end
            return self.keys[:, :, :end], self.values[:, :, :end]

        def get_seq_length(self) -> int:
            """Filled positions."""
            return self.used

        def reorder_cache(self, beam_idx: "torch.Tensor") -> None:
            """Take these rows, in this order; a row may be taken several times."""
            for name in ("keys", "values"):
                setattr(self, name, getattr(self, name)[:, :, : self.used][beam_idx])

    return RoomyLayer


def _roomier(old: "torch.Tensor", positions: int) -> "torch.Tensor":
    new = old.new_empty((*old.shape[:2], positions, old.shape[3]))
    new[:, :, : old.shape[2]] = old
    return new


def roomy_cache(config: Any) -> Any:
    """An empty cache for a model of this config; `reorder_cache(rows)` chooses its rows.

    A sliding window keeps all its positions: transformers' mask hides those behind the window.
    Layers of other kinds (linear attention) stay what transformers makes them.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    made = DynamicCache(config=config)
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    made.layers = [_layer_class()() if type(x) in plain else x for x in made.layers]
    return made


def bytes_per_position(config: Any, itemsize: int) -> int:
    """Memory of one position of one row, over all layers, at `itemsize` bytes a number."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * width * itemsize)
