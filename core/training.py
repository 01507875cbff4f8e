"""Supervised fine-tuning on a few samples, resumable.

The loss is the mean NLL of response tokens and EOS; the optimiser is AdamW with a cosine
schedule (5 % warm-up, weight decay 0.01, clipping at 1.0), as in InstructDiff's paper.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import files
from core.domain import WarmUp
from core.engines.hardware import Precision
from core.engines.learning import Learner
from core.errors import ModelError
from core.progress import Progress
from core.templates import Encoded

SAVE_EVERY_S = 120.0  # a training that runs longer keeps its state, and resumes from it


def train(
    model: Any,
    encoded: Sequence[Encoded],
    warm_up: WarmUp,
    precision: Precision,
    state: Path,
    progress: Progress,
    save: Callable[[int, Any], None] = lambda number, optimiser: None,
) -> list[float]:
    """Run the epochs on the weights of `model` that can move.

    `save(number, optimiser)` is called at each of the `saves_at` steps.

    `precision` is that of the products; the weights stay as they are. After a kill it goes on
    from the newest epoch in `state`, to the weights of an undisturbed run.

    Returns: the mean loss of each epoch, in nats per response token.

    Where memory is short, fewer tokens are read at once from there on, see `Learner`.

    Raises:
        ModelError: the loss is not finite.
        RunError: there is not even memory for one sample at a time.
    """
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=warm_up.learning_rate, weight_decay=0.01)
    steps = math.ceil(len(encoded) / warm_up.batch_size) * warm_up.epochs
    due = {step: number for number, step in enumerate(saves_at(len(encoded), warm_up))}
    losses = _restore(model, optimiser, state)
    tokens, learner = sum(len(e) for e in encoded), Learner("warm-up", model, precision)
    saved = time.monotonic()
    with progress.stage("warm-up", tokens * warm_up.epochs, "tokens") as stage:
        stage.resume(tokens * len(losses))
        for epoch in range(len(losses), warm_up.epochs):
            torch.manual_seed(warm_up.seed + epoch)  # dropout after a resume is as it was
            total, count = 0.0, 0
            batches = list(_batches(len(encoded), warm_up, epoch))
            for number, batch in enumerate(batches):
                step = epoch * len(batches) + number
                for group in optimiser.param_groups:
                    group["lr"] = _rate(step, steps, warm_up)
                loss, scored = learner.step([encoded[i] for i in batch], stage)
                _check_finite(loss)
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                total, count = total + loss, count + scored
                if step + 1 in due:
                    save(due[step + 1], optimiser)
            losses.append(total / count)
            if time.monotonic() - saved > SAVE_EVERY_S and epoch + 1 < warm_up.epochs:
                _keep(model, optimiser, losses, state)
                saved = time.monotonic()
    return losses


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        do = "Lower the learning rate, or use --dtype fp32."
        raise ModelError("warm-up", "the loss is not finite", got=loss, do=do)


def saves_at(n: int, warm_up: WarmUp) -> list[int]:
    """How many steps are done at each saved checkpoint of a training on n samples.

    `saves` times at equal distances; an adapter of which no more than the end is asked for is
    saved after every epoch.
    """
    steps = math.ceil(n / warm_up.batch_size) * warm_up.epochs
    by_epoch = warm_up.adapter == "lora" and warm_up.saves == 1
    saves = warm_up.epochs if by_epoch else min(warm_up.saves, steps)
    return [round(steps * (k + 1) / saves) for k in range(saves)]


def mean_rates(n: int, warm_up: WarmUp) -> list[float]:
    """Mean learning rate since the checkpoint before, for each saved checkpoint."""
    ends = saves_at(n, warm_up)
    rates = [_rate(step, ends[-1], warm_up) for step in range(ends[-1])]
    starts = [0, *ends[:-1]]
    return [sum(rates[a:b]) / (b - a) for a, b in zip(starts, ends, strict=True)]


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
