"""LESS's loop, written anew: a peft model, one sample at a time.

A backward pass, the gradients side by side, the direction of Adam, and TRAK's BasicProjector,
which draws its dense matrix again, 128 columns at a time, for every 16 gradients.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.bench import Bench
from core import adapters
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.weights import load_model
from core.templates import Encoded

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
AT_ONCE, COLUMNS = 16, 128  # gradients to a call of the projector, and columns it makes at once
DRAWN = 2**20  # rows of its matrix that are timed


class Whole:
    """Sketches nothing away."""

    rows = 1000

    def __init__(self, lengths: Sequence[int]) -> None:
        self.starts = np.cumsum([0, *lengths]).tolist()

    def begin(self, n: int) -> Any:
        """Room for n gradients."""
        import torch

        return torch.zeros(n, self.starts[-1])

    def add(self, total: Any, piece: int, gradient: Any) -> None:
        """Put a piece in its place."""
        total[:, self.starts[piece] : self.starts[piece + 1]] = gradient

    def finish(self, total: Any) -> Any:
        """The gradients."""
        return total


@dataclass
class Adapted:
    """The benchmark's model with a random adapter, as peft has it and as the product does."""

    bench: Bench
    folder: Path
    rank: int

    @cached_property
    def peft(self) -> Any:
        """The model in float32 and evaluation mode; its adapter and moments are on disk."""
        import torch
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(0)
        lora = LoraConfig(r=self.rank, lora_alpha=4 * self.rank, target_modules=TARGETS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            base = load_model(self.bench.checkpoint, self.bench.device, "float32")
            model = get_peft_model(base, lora).eval()
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
        for weight in optimiser.param_groups[0]["params"]:
            weight.data = torch.randn_like(weight) * 0.01
            optimiser.state[weight] = {
                "exp_avg": torch.randn_like(weight) * 1e-4,
                "exp_avg_sq": torch.rand_like(weight) * 1e-6,
            }
        adapters.save(self.folder / "adapter.safetensors", model, optimiser, 4.0)
        return model

    def engine(self, dtype: str) -> HFEngine:
        """The product's engine of the same weights."""
        assert self.peft, "writes the adapter"
        path = str(self.folder / "adapter.safetensors")
        checkpoint = replace(self.bench.checkpoint, name="with an adapter", adapter=path)
        return HFEngine(checkpoint, Precision(self.bench.device, dtype))

    def moments(self, engine: HFEngine, dtype: Any = None) -> tuple[Any, Any]:
        """Both moments of Adam, side by side; in float32 without a `dtype`."""
        import torch

        names = [f"{m}.{kind}" for m in engine.adapter.modules for kind in "AB"]
        first, second = (
            torch.cat([engine.adapter.tensors[f"{name}.{moment}"].flatten() for name in names])
            for moment in ("exp_avg", "exp_avg_sq")
        )
        return first.to(dtype or first.dtype), second.to(dtype or first.dtype)


def raw(model: Any, e: Encoded) -> Any:
    """The gradient (P,) of one sample, by autograd; the loss in float32, as transformers has it."""
    ids, labels = _labelled(model, e)
    model(input_ids=ids, labels=labels).loss.backward()
    return _taken(model)


def exact(model: Any, e: Encoded) -> Any:
    """The same of a model in float64, whose loss is one too.

    A sum of 49,152 float32 numbers is not: the loss of transformers puts 5e-5 on a gradient.
    """
    import torch

    ids, labels = _labelled(model, e)
    logits = model(input_ids=ids).logits[0, :-1]
    torch.nn.functional.cross_entropy(logits, labels[0, 1:]).backward()
    return _taken(model)


def _labelled(model: Any, e: Encoded) -> tuple[Any, Any]:
    import torch

    device = next(model.parameters()).device
    ids = torch.from_numpy(e.ids)
    labels = torch.where(torch.from_numpy(e.scored), ids, -100)
    return ids[None].to(device), labels[None].to(device)


def _taken(model: Any) -> Any:
    """The gradients side by side; none are left in the model."""
    import torch

    moved = [p for p in model.parameters() if p.grad is not None]
    gradient = torch.cat([p.grad.view(-1) for p in moved])
    model.zero_grad()
    return gradient


def loop(model: Any, moments: tuple[Any, Any], encoded: Sequence[Encoded]) -> None:
    """LESS's: gradient and direction of one sample after the other."""
    import torch

    for e in encoded:
        gradient = raw(model, e)
        first = 0.9 * moments[0] + 0.1 * gradient
        second = 0.999 * moments[1] + 0.001 * gradient**2
        assert (first / torch.sqrt(second + 1e-8)).isfinite().any()


def projection_s(bench: Bench, size: int, width: int) -> float:
    """Seconds to project one gradient of `size` numbers, as BasicProjector does it.

    The cost is linear in rows and columns of the matrix: one block of columns is timed, on
    `DRAWN` rows at most.
    """
    import torch

    rows = min(size, DRAWN)
    batch = torch.randn(AT_ONCE, rows)
    chance = torch.Generator()

    def block() -> None:
        signs = torch.empty(rows, COLUMNS).bernoulli_(0.5, generator=chance.manual_seed(0))
        batch @ signs.mul_(2).sub_(1)

    block()
    took = float(np.median([bench.seconds(block) for _ in range(3)]))
    return took * size / rows * width / COLUMNS / AT_ONCE
