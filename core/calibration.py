"""Makes the calibrated checkpoint: a short supervised fine-tuning on a part of the pool.

The loss is the mean NLL of response tokens and EOS; the optimiser is AdamW with a cosine
schedule (5 % warm-up, weight decay 0.01, clipping at 1.0), as in InstructDiff's paper.
Weights are kept in float32: updates of 1e-5 vanish when a bfloat16 weight is rounded to the
nearest. A checkpoint that is measured in bfloat16 is therefore rounded by chance.
"""

import math
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core import config, files
from core.blocks import Fetch
from core.domain import WarmUp, content_hash
from core.engines.hardware import Precision
from core.engines.hf import HFEngine, load_model, pad, token_batches
from core.errors import ModelError
from core.models import Checkpoint, QuietTransformers
from core.progress import Progress, Stage
from core.templates import Encoded, Template, encode

if TYPE_CHECKING:
    import torch

VERSION = 2  # raise it when the same warm-up gives other weights
LORA_FROM_PARAMETERS = 1_000_000_000
SAVE_EVERY_S = 120.0  # a warm-up that runs longer keeps its state, and resumes from it


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
    losses = _train(model, encoded, warm_up, precision, state, progress)
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


def _train(
    model: Any,
    encoded: Sequence[Encoded],
    warm_up: WarmUp,
    precision: Precision,
    state: Path,
    progress: Progress,
) -> list[float]:
    """Run the epochs; returns the mean loss of each, in nats per response token."""
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=warm_up.learning_rate, weight_decay=0.01)
    steps = math.ceil(len(encoded) / warm_up.batch_size) * warm_up.epochs
    losses = _restore(model, optimiser, state)
    tokens = sum(len(e) for e in encoded)
    saved = time.monotonic()
    with progress.stage("warm-up", tokens * warm_up.epochs, "tokens") as stage:
        stage.resume(tokens * len(losses))
        for epoch in range(len(losses), warm_up.epochs):
            torch.manual_seed(warm_up.seed + epoch)  # dropout after a resume is as it was
            total, count = 0.0, 0
            batches = list(_batches(len(encoded), warm_up, epoch))
            for number, batch in enumerate(batches):
                for group in optimiser.param_groups:
                    group["lr"] = _rate(epoch * len(batches) + number, steps, warm_up)
                loss, scored = _step(model, [encoded[i] for i in batch], precision, stage)
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                total, count = total + loss, count + scored
            losses.append(total / count)
            if not math.isfinite(losses[-1]):
                do = "Lower warm_up_learning_rate, or use --dtype fp32."
                raise ModelError("warm-up", "the loss is not finite", got=losses[-1], do=do)
            if time.monotonic() - saved > SAVE_EVERY_S and epoch + 1 < warm_up.epochs:
                _keep(model, optimiser, losses, state)
                saved = time.monotonic()
    return losses


def _batches(n: int, warm_up: WarmUp, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Shuffled rows of one epoch; the order depends on seed and epoch alone."""
    order = np.random.default_rng([warm_up.seed, epoch]).permutation(n)
    for start in range(0, n, warm_up.batch_size):
        yield order[start : start + warm_up.batch_size]


def _rate(step: int, steps: int, warm_up: WarmUp) -> float:
    """Learning rate of a step: linear over the first 5 %, then a cosine down to 0."""
    rise = max(1, round(0.05 * steps))
    if step < rise:
        return warm_up.learning_rate * (step + 1) / rise
    return warm_up.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _step(
    model: Any, batch: Sequence[Encoded], precision: Precision, stage: Stage
) -> tuple[float, int]:
    """Add up the gradients of one optimiser step; returns summed NLL and response tokens."""
    import torch

    scored = sum(int(e.scored.sum()) for e in batch)
    lengths = np.array([len(e) for e in batch])
    kind = precision.device.split(":")[0]
    budget = {"cpu": 2048, "cuda": 8192}[kind]
    total = 0.0
    for rows in token_batches(np.arange(len(batch)), lengths, budget):
        part = [batch[i] for i in rows]
        with torch.autocast(kind, torch.bfloat16, enabled=precision.dtype == "bf16"):
            nll = _summed_nll(model, part, precision.device)
        (nll / scored).backward()  # type: ignore[no-untyped-call]
        total += nll.item()
        stage.advance(int(lengths[rows].sum()))
    return total, scored


def _summed_nll(model: Any, batch: Sequence[Encoded], device: str) -> "torch.Tensor":
    """Summed response NLL of a padded batch; the head runs on response positions only."""
    import torch

    ids, scored = pad(batch)
    tokens = torch.from_numpy(ids).to(device)
    mask = torch.from_numpy(scored[:, 1:]).to(device)
    at = mask.any(0).nonzero()[:, 0]  # positions that any row needs, for `logits_to_keep`
    logits = model(input_ids=tokens, use_cache=False, logits_to_keep=at).logits
    kept = mask[:, at]
    targets = tokens[:, 1:][:, at][kept]
    return torch.nn.functional.cross_entropy(logits[kept].float(), targets, reduction="sum")


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
    part = Path(f"{folder}.part")
    shutil.rmtree(part, ignore_errors=True)
    with QuietTransformers():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    files.write_json(part / "checkpoint.json", card)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def _keep(model: Any, optimiser: Any, losses: list[float], state: Path) -> None:
    """Keep weights and moments after an epoch, so that a killed warm-up can go on."""
    from safetensors.torch import save_file

    moved = {name: p for name, p in model.named_parameters() if p.requires_grad}
    tensors = {f"weight.{name}": p.detach().contiguous() for name, p in moved.items()}
    for name, p in moved.items():
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{moment}.{name}"] = optimiser.state[p][moment]
        tensors[f"step.{name}"] = optimiser.state[p]["step"].reshape(1)
    with files.whole(state / f"epoch-{len(losses)}.safetensors") as part:
        save_file(tensors, part)
    files.write_json(state / "losses.json", losses)
    (state / f"epoch-{len(losses) - 1}.safetensors").unlink(missing_ok=True)


def _restore(model: Any, optimiser: Any, state: Path) -> list[float]:
    """Load what `_keep` left; returns the losses of the epochs that are done."""
    import torch
    from safetensors.torch import load_file

    losses: list[float] = files.read_json(state / "losses.json") or []
    path = state / f"epoch-{len(losses)}.safetensors"
    if not losses or not path.is_file():
        return []
    tensors = load_file(path)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(tensors[f"weight.{name}"])
                optimiser.state[p] = {
                    "step": tensors[f"step.{name}"].reshape(()),
                    "exp_avg": tensors[f"exp_avg.{name}"].to(p.device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(p.device),
                }
    return list(losses)
