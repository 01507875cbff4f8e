"""LoRA adapters on disk: weights, the optimiser's moments, and their order.

One safetensors file a checkpoint. For each adapted linear layer `module` (named as in the base
model) it holds `module.A` (r, in) and `module.B` (out, r), and for each of both the moments
`.exp_avg` and `.exp_avg_sq` of AdamW in the same shape. The layer computes
x W^T + scale * (x A^T) B^T. Flattened, a gradient goes module by module, A before B.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import files
from core.errors import ModelError

if TYPE_CHECKING:
    import torch

PREFIX, KINDS = "base_model.model.", {"lora_A.default.weight": "A", "lora_B.default.weight": "B"}


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory. `modules` in the order of the model; float32 tensors on the CPU."""

    scale: float
    modules: tuple[str, ...]
    tensors: "Mapping[str, torch.Tensor]"


def save(path: Path, model: Any, optimiser: Any, scale: float) -> None:
    """Write the adapter of a peft model and its moments; whole or not at all."""
    from safetensors.torch import save_file

    tensors, modules = {}, []
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        module, _, tail = name.removeprefix(PREFIX).partition(".lora_")
        kind = KINDS[f"lora_{tail}"]
        if kind == "A":
            modules.append(module)
        held = optimiser.state.get(weight, {})
        tensors[f"{module}.{kind}"] = weight.detach().float().cpu().contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            value = held[moment] if held else weight.detach() * 0
            tensors[f"{module}.{kind}.{moment}"] = value.float().cpu().contiguous()
    with files.whole(path) as part:
        save_file(tensors, part, {"scale": repr(scale), "modules": "\n".join(modules)})


def load(path: str | Path) -> Adapter:
    """Read an adapter file.

    Raises:
        ModelError: the file is not one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as held:
            about = held.metadata()
            tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
            return Adapter(float(about["scale"]), tuple(about["modules"].split("\n")), tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        do = "Remove the file; it is made again by the next run."
        raise ModelError(path, "is not an adapter", got=str(error), do=do) from error


def invented(model: Any, modules: Iterable[str], rank: int) -> Adapter:
    """An adapter of random numbers with moments, to time gradients by; it is in no weights."""
    import torch

    tensors, names = {}, tuple(modules)
    for module in names:
        layer = model.get_submodule(module)
        out, into = layer.weight.shape
        if type(layer).__name__ == "Conv1D":  # GPT-2 keeps its weights the other way round
            out, into = into, out
        for kind, shape in (("A", (rank, into)), ("B", (out, rank))):
            for tail in ("", ".exp_avg", ".exp_avg_sq"):
                tensors[f"{module}.{kind}{tail}"] = torch.rand(shape, device=layer.weight.device)
    return Adapter(2.0, names, tensors)


def merge(model: Any, adapter: Adapter) -> None:
    """Add scale * B A to the weights of the adapted layers, in place."""
    import torch

    with torch.no_grad():
        for module in adapter.modules:
            layer = model.get_submodule(module)
            a, b = adapter.tensors[f"{module}.A"], adapter.tensors[f"{module}.B"]
            change = (adapter.scale * (b @ a)).to(layer.weight)
            # GPT-2 keeps its weights the other way round
            layer.weight += change.T if type(layer).__name__ == "Conv1D" else change


def rounded(model: Any, seed: int) -> Any:
    """The model in bfloat16, each weight rounded up or down with the odds of its distance.

    The mean of the updates survives. Rounding to the nearest undoes a light warm-up: a base
    model out of bfloat16 stands on the grid, and most updates are less than half a step of it.
    """
    import torch

    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            bits = weight.float().cpu().contiguous().view(torch.int32)
            odds = torch.randint(1 << 16, bits.shape, generator=chance, dtype=torch.int32)
            upper = (bits + odds) & -(1 << 16)  # bfloat16 is the upper half of float32
            weight.copy_(upper.view(torch.float32))
    return model.to(torch.bfloat16)
