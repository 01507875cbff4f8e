"""Reading the weights of a checkpoint."""

from math import prod
from pathlib import Path
from typing import Any

from core import adapters
from core.engines import memory
from core.errors import ModelError
from core.models import Checkpoint, QuietTransformers


def load_model(checkpoint: Checkpoint, device: str, dtype: str) -> Any:
    """Read a causal language model: safetensors only, no code of its own.

    An adapter is merged into it in float32, and rounded by chance where the format is bfloat16.

    Raises:
        ModelError: the folder does not hold a model that transformers can load, or memory cannot.
    """
    import torch
    from transformers import AutoModelForCausalLM

    shapes(checkpoint.folder)  # a damaged file is told before anything is loaded
    try:
        with QuietTransformers():
            model: Any = AutoModelForCausalLM.from_pretrained(
                checkpoint.folder,
                dtype=torch.float32 if checkpoint.adapter else getattr(torch, dtype),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        if checkpoint.adapter:
            adapters.merge(model, adapters.load(checkpoint.adapter))
            if dtype == "bfloat16":
                model = adapters.rounded(model, 0)
        return model.to(torch.device(device)).eval()
    except (ValueError, OSError, KeyError, RuntimeError, MemoryError) as error:
        if memory.short(error):
            do = "Use fewer workers (--workers 1), --dtype bf16, or a smaller model."
            raise ModelError(
                checkpoint.name, "there is no memory for its weights", do=do
            ) from error
        raise unloadable(checkpoint, "weights", error) from error


def shapes(folder: str) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a checkpoint, by its name; only the files' heads are read.

    Raises:
        ModelError: a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(str(path), framework="numpy") as held:
                found |= {name: tuple(held.get_slice(name).get_shape()) for name in held.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            what, do = "its weights cannot be loaded", "Fetch or copy the file again."
            raise ModelError(path, what, got=str(error)[:100], do=do) from error
    return found


def n_weights(folder: str) -> int:
    """How many numbers a checkpoint on disk holds, none for the fake one; see `shapes`."""
    return 0 if not folder else sum(prod(shape) for shape in shapes(folder).values())


def unloadable(checkpoint: Checkpoint, what: str, error: Exception) -> ModelError:
    """The one sentence for a checkpoint whose tokenizer or weights cannot be loaded."""
    return ModelError(
        checkpoint.name,
        f"its {what} cannot be loaded",
        got=next(iter(str(error).splitlines()), type(error).__name__),
        do="Give a causal language model with safetensors weights and a tokenizer.",
    )
