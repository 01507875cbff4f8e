"""Makes the calibrated checkpoint: a short supervised fine-tuning on a part of the pool.

See `core.training` for the loss and the optimiser.
Weights are kept in float32: updates of 1e-5 vanish when a bfloat16 weight is rounded to the
nearest. A checkpoint that is measured in bfloat16 is therefore rounded by chance.
"""

import copy
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core import adapters, files
from core.blocks import Fetch
from core.domain import Sample, WarmUp
from core.engines import memory
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.learning import SMALLER
from core.engines.weights import load_model
from core.errors import ModelError
from core.models import Checkpoint, QuietTransformers
from core.progress import Progress
from core.templates import Template
from core.training import mean_rates, saves_at, train
from core.warm_ups import LORA_FROM_PARAMETERS, Warmed, place, sought, warmed

ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}


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
    """Fine-tune `base` on a seeded part of the pool, or find the checkpoints made before.

    Where they stand: see `core.warm_ups`.

    Raises:
        ModelError: the loss is not finite, or no drawn sample has a token to learn from.
        RunError: memory is short even for one sample at a time, or for the optimiser.
    """
    drawn, key, found = sought(base, warm_up, template, ids, precision, max_tokens)
    if found is not None:
        return found
    name = f"{base.name}+warm-up"
    samples = fetch(drawn)
    with memory.told(name, "memory is short for its training", SMALLER):
        card = _train(name, key, base, warm_up, template, samples, precision, max_tokens, progress)
    return warmed(base, key, card, drawn)


def _train(
    name: str,
    key: str,
    base: Checkpoint,
    warm_up: WarmUp,
    template: Template,
    samples: Sequence[Sample],
    precision: Precision,
    max_tokens: int,
    progress: Progress,
) -> dict[str, Any]:
    """Train and save; returns the card, which is written last."""
    engine = HFEngine(base, precision)
    longest = min(max_tokens, engine.limit)
    encoded = [e for e in engine.encoded(samples, template) if e.scored.any() and len(e) <= longest]
    if not encoded:
        do = "Choose a larger warm_up_fraction, or raise --max-tokens."
        raise ModelError(name, "no sample of the warm-up has tokens to learn from", do=do)
    model, warm_up = trainable(base, warm_up, precision)
    folder = place(key)
    state = Path(f"{folder}.state")
    many = len(saves_at(len(encoded), warm_up)) > 1

    def save(number: int, optimiser: Any) -> None:
        if warm_up.adapter == "lora":
            path = folder / f"step-{number}.safetensors"
            adapters.save(path, model, optimiser, warm_up.alpha / warm_up.rank)
        elif many:
            _save(_measured(model, warm_up, precision), engine.tokenizer, folder / f"step-{number}")

    losses = train(model, encoded, warm_up, products(warm_up, precision), state, progress, save)
    card = {
        "name": name,
        "base": base.card(),
        "warm_up": asdict(warm_up),
        "template": template,
        "precision": precision.key,
        "samples": len(encoded),
        "loss_by_epoch": losses,
        "rates": mean_rates(len(encoded), warm_up),
    }
    if warm_up.adapter != "lora" and not many:
        _save(_measured(model, warm_up, precision), engine.tokenizer, folder, card)
    else:
        files.write_json(folder / "checkpoint.json", card)
    shutil.rmtree(state, ignore_errors=True)
    return card


def products(warm_up: WarmUp, precision: Precision) -> Precision:
    """The format of a training's products.

    Those in bf16 do not see updates of a bf16 step's size; an adapter's weights are its own.
    """
    return precision if warm_up.adapter == "lora" else Precision(precision.device, "fp32")


def _measured(model: Any, warm_up: WarmUp, precision: Precision) -> Any:
    """The model as it is measured: a copy in bfloat16, or itself in float32."""
    if precision.dtype != "bf16":
        return model
    return adapters.rounded(copy.deepcopy(model), warm_up.seed)


def trainable(base: Checkpoint, warm_up: WarmUp, precision: Precision) -> tuple[Any, WarmUp]:
    """The base model in float32, all weights trainable or with a LoRA adapter on them.

    The warm-up that comes back says which ("auto" is settled by the model's size).
    """
    import torch

    torch.manual_seed(warm_up.seed)  # a new adapter begins with random weights
    model = load_model(base, precision.device, "float32").train()
    if warm_up.adapter == "auto":
        large = model.num_parameters() >= LORA_FROM_PARAMETERS
        warm_up = replace(warm_up, adapter="lora" if large else "full")
    if warm_up.adapter == "lora":
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=warm_up.rank,
            lora_alpha=warm_up.alpha,
            lora_dropout=warm_up.dropout,
            target_modules=_targets(model),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # between peft and transformers, nothing of ours
            model = get_peft_model(model, lora)
    return model, warm_up


def _targets(model: Any) -> list[str] | str:
    """The attention's projections, as in LESS; every linear layer where they have other names."""
    there = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return sorted(there & ATTENTION) or "all-linear"


def _save(model: Any, tokenizer: Any, folder: Path, card: dict[str, Any] | None = None) -> None:
    """Save weights, tokenizer and card; all of it or nothing."""
    part = Path(f"{folder}.{os.getpid()}.part")  # two pools may draw the same warm-up at once
    shutil.rmtree(part, ignore_errors=True)
    with QuietTransformers():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    if card is not None:
        files.write_json(part / "checkpoint.json", card)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
