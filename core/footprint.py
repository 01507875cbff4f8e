"""How many bytes a run writes: the parts of its signals, its checkpoints, its columns.

Shapes are looked at, not listed: the fake engine, which gives what any engine gives in its own
width, measures a few samples.
"""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import files
from core.domain import Sample, WarmUp
from core.engines.fake import WIDTH, FakeEngine
from core.engines.weights import shapes
from core.signals import Answers, Signal

SHAPED = 24  # samples that shapes are looked at on
ID = 20  # bytes of a sample's id
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
WIDTHS = ("hidden_size", "n_embd", "d_model")
OUTSIDE = ("embed", "wte", "wpe", "lm_head", "embed_out")  # no layers that an adapter is put on


def measured(signal: Signal, samples: Sequence[Sample]) -> Mapping[str, NDArray[Any]]:
    """A signal's arrays (b, ...) as the fake engine gives them."""
    given = measured(signal.after, samples) if signal.after is not None else {}
    return signal.measure(samples, FakeEngine(tried=False), 2**31, given)


def row_bytes(found: Mapping[str, NDArray[Any]], width: int, text: float | None) -> float:
    """Bytes of a sample in a part. `width` of the model's vectors; `text` bytes of an answer."""
    total = float(ID)
    for name, array in found.items():
        each = array.nbytes / len(array)
        if text is not None and array.dtype.kind == "S":
            each *= text / array.dtype.itemsize
        elif name == "vector":
            each *= width / WIDTH
        total += each
    return total


def part_overhead(found: Mapping[str, NDArray[Any]]) -> int:
    """Bytes of a part that holds no sample: names, shapes and places of its arrays."""
    empty = io.BytesIO()
    none = {name: array[:0] for name, array in found.items()}
    np.savez(empty, allow_pickle=False, ids=np.array([], "S20"), **none)
    return empty.tell()


def parts_bytes(
    signal: Signal,
    samples: Sequence[Sample],
    n: int,
    n_parts: int,
    width: int,
    answer_bytes: float | None,
) -> int:
    """Bytes of the parts of n samples; some `samples` show the shapes.

    `answer_bytes`: of each token that an answer may have; None leaves texts as they are.
    """
    found = measured(signal, samples)
    text = None
    if answer_bytes is not None and isinstance(signal, Answers):
        text = answer_bytes * signal.sampling.max_new_tokens
    return round(n * row_bytes(found, width, text) + n_parts * part_overhead(found))


def adapted(folder: str) -> dict[str, tuple[int, ...]]:
    """The layers that an adapter is put on, as `calibration` chooses them, with their shapes."""
    layers: dict[str, tuple[int, ...]] = {
        name.removesuffix(".weight"): shape
        for name, shape in shapes(folder).items()
        if name.endswith(".weight") and len(shape) == 2 and not any(o in name for o in OUTSIDE)
    }
    own = {name: shape for name, shape in layers.items() if name.endswith(ATTENTION)}
    return own or layers


def width(folder: str) -> int:
    """Numbers of a model's hidden state, by its config; as few libraries as a page has read it."""
    about = files.read_json(Path(folder) / "config.json") or {}
    about = about.get("text_config", about)
    return int(next((about[name] for name in WIDTHS if name in about), 0))


def adapter_weights(folder: str, rank: int) -> int:
    """Numbers of an adapter of this rank."""
    return rank * sum(sum(shape) for shape in adapted(folder).values()) if folder else 0


def checkpoint_bytes(
    folder: str, warm_up: WarmUp, saves: int, n_weights: int, itemsize: int
) -> int:
    """Bytes of what a warm-up keeps: adapters with two moments each, or whole models."""
    if not folder:
        return 0
    if warm_up.adapter == "lora":
        return saves * 3 * 4 * adapter_weights(folder, warm_up.rank)
    return saves * n_weights * itemsize


def column_bytes(columns: Mapping[str, NDArray[Any]], n_seen: int) -> float:
    """Bytes of a sample in the store: its id, score, group and reason, and these columns."""
    own = ID + 8 + 4 + 4 + 2
    return own + sum(array.nbytes / max(n_seen, 1) for array in columns.values())


def n_parts(signal: Signal, n: int, tokens: float, block_tokens: int) -> int:
    """How many parts n samples with so many tokens are cut into."""
    if not n:
        return 0
    if signal.per_block:
        return math.ceil(n / signal.per_block)
    mean = tokens / n  # a block is full with the sample that fills it
    return max(1, math.ceil(tokens / (block_tokens + mean / 2)))
