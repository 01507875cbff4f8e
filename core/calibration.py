"""Makes the calibrated checkpoint: a short supervised fine-tuning on a part of the pool.

See `core.training` for the loss and the optimiser.
Weights are kept in float32: updates of 1e-5 vanish when a bfloat16 weight is rounded to the
nearest. A checkpoint that is measured in bfloat16 is therefore rounded by chance.
"""

import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import config, files
from core.blocks import Fetch
from core.domain import WarmUp, content_hash
from core.engines.hardware import Precision
from core.engines.hf import HFEngine, load_model
from core.errors import ModelError
from core.models import Checkpoint, QuietTransformers
from core.progress import Progress
from core.templates import Template, encode
from core.training import train

if TYPE_CHECKING:
    pass

VERSION = 3  # raise it when the same warm-up gives other weights
LORA_FROM_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Warmed:
    """A calibrated checkpoint and the samples it was trained on."""

    checkpoint: Checkpoint
    trained_on: frozenset[str]


def draw(ids: Sequence[str], fraction: float, seed: int) -> list[str]:
    """The warm-up samples: the `round(fraction * n)` ids that a seeded hash puts first.

    At least one. The draw depends on the ids alone, so the order of the pool changes nothing.
    """
    ranked = sorted(ids, key=lambda sample_id: content_hash([seed, sample_id]))
    return ranked[: max(1, round(fraction * len(ids)))]


def calibrate(
    base: Checkpoint,
    warm_up: WarmUp,
    template: Template,
    ids: Sequence[str],
    fetch: Fetch,
    precision: Precision,
    max_tokens: int,
    progress: Progress,
) -> Warmed:
    """Fine-tune `base` on a seeded part of the pool, or find the checkpoint made before.

    Returns: the checkpoint, in `models/calibrated-<key>` with a `checkpoint.json` that says
    how it was made.

    Raises:
        ModelError: the loss is not finite, or no drawn sample has a token to learn from.
    """
    drawn = draw(ids, warm_up.fraction, warm_up.seed)
    made_of = [
        "calibrated",
        VERSION,
        base.key,
        asdict(warm_up),
        sorted(drawn),
        template,
        precision.key,
        max_tokens,
    ]
    key = content_hash(made_of)
    name = f"{base.name}+warm-up"
    folder = config.folder("models") / f"calibrated-{key}"
    checkpoint = Checkpoint(name, key[:12], str(folder), key)
    if not base.folder:  # the fake engine has nothing to tune
        return Warmed(Checkpoint(name, key[:12], "", key), frozenset(drawn))
    if files.read_json(folder / "checkpoint.json") is not None:
        return Warmed(checkpoint, frozenset(drawn))
    engine = HFEngine(base, precision)
    longest = min(max_tokens, engine.limit)
    encoded = [
        e
        for e in encode(fetch(drawn), engine.tokenizer, template)
        if e.scored.any() and len(e) <= longest
    ]
    if not encoded:
        do = "Choose a larger warm_up_fraction, or raise --max-tokens."
        raise ModelError(name, "no sample of the warm-up has tokens to learn from", do=do)
    model, adapter = _trainable(base, warm_up, precision)
    state = Path(f"{folder}.state")
    # bf16 products do not see updates of a bf16 step's size; an adapter's weights are its own.
    products = precision if adapter == "lora" else Precision(precision.device, "fp32")
    losses = train(model, encoded, warm_up, products, state, progress)
    card = {
        "name": name,
        "base": base.card(),
        "warm_up": asdict(warm_up) | {"adapter": adapter},
        "template": template,
        "precision": precision.key,
        "samples": len(encoded),
        "loss_by_epoch": losses,
    }
    if adapter == "lora":
        model = model.merge_and_unload()
    if precision.dtype == "bf16":
        model = _rounded(model, warm_up.seed)
    _save(model, engine.tokenizer, folder, card)
    shutil.rmtree(state, ignore_errors=True)
    return Warmed(checkpoint, frozenset(drawn))


def _trainable(base: Checkpoint, warm_up: WarmUp, precision: Precision) -> tuple[Any, str]:
    """The base model in float32, all weights trainable or with a LoRA adapter on them."""
    import torch

    torch.manual_seed(warm_up.seed)  # a new adapter begins with random weights
    model = load_model(base, precision.device, "float32").train()
    adapter = warm_up.adapter
    if adapter == "auto":
        adapter = "lora" if model.num_parameters() >= LORA_FROM_PARAMETERS else "full"
    if adapter == "lora":
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # between peft and transformers, nothing of ours
            model = get_peft_model(model, lora)
    return model, adapter


def _rounded(model: Any, seed: int) -> Any:
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


def _save(model: Any, tokenizer: Any, folder: Path, card: dict[str, Any]) -> None:
    """Save weights, tokenizer and card; all of it or nothing."""
    part = Path(f"{folder}.{os.getpid()}.part")  # two pools may draw the same warm-up at once
    shutil.rmtree(part, ignore_errors=True)
    with QuietTransformers():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    files.write_json(part / "checkpoint.json", card)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
