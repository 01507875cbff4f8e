"""Where the checkpoints of a warm-up stand, and what they are called; nothing is trained here.

They stand in `models/calibrated-<key>`, with a `checkpoint.json` that says how they were
made: a whole model in the folder itself, or in `step-<number>` where more are saved; an
adapter as `step-<number>.safetensors` (see `core.adapters`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core import config, files
from core.blocks import Fetch
from core.domain import WarmUp, content_hash
from core.engines.hardware import Precision
from core.engines.weights import n_weights
from core.models import Checkpoint
from core.progress import Progress
from core.templates import Template
from core.training import mean_rates

VERSION = 4  # raise it when the same warm-up gives other weights
LORA_FROM_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Warmed:
    """The checkpoints saved on the way, in order of step, and the samples trained on.

    `rates`: the mean learning rate since the checkpoint before, as `training.mean_rates`.
    """

    steps: tuple[Checkpoint, ...]
    rates: tuple[float, ...]
    trained_on: frozenset[str]

    @property
    def checkpoint(self) -> Checkpoint:
        """The last one, where the training ended."""
        return self.steps[-1]


def draw(ids: Sequence[str], fraction: float, seed: int) -> list[str]:
    """The warm-up samples: the `round(fraction * n)` ids that a seeded hash puts first.

    At least one. The draw depends on the ids alone, so the order of the pool changes nothing.
    """
    ranked = sorted(ids, key=lambda sample_id: content_hash([seed, sample_id]))
    return ranked[: max(1, round(fraction * len(ids)))]


def key_of(
    base: Checkpoint,
    warm_up: WarmUp,
    template: Template,
    drawn: Sequence[str],
    precision: Precision,
    max_tokens: int,
) -> str:
    """The hash of everything that shapes the weights."""
    # the order of training depends on the drawn ids alone, not on the pool's order
    shown = asdict(warm_up)
    made_of = ["calibrated", VERSION, base.key, shown, drawn, template, precision.key, max_tokens]
    return content_hash(made_of)


def place(key: str) -> Path:
    """The folder of a warm-up's checkpoints, whether they are there or not."""
    return config.cache_dir() / "models" / f"calibrated-{key}"


def made(base: Checkpoint, warm_up: WarmUp, key: str, drawn: Sequence[str]) -> Warmed | None:
    """The checkpoints that stand in their place; None where one of them is not there.

    The fake engine has nothing to tune, so its own are always there.
    """
    if not base.folder:
        return warmed(base, key, {"rates": mean_rates(len(drawn), warm_up)}, drawn)
    card = files.read_json(place(key) / "checkpoint.json")
    found = None if card is None else warmed(base, key, card, drawn)
    return found if found is not None and all(map(_there, found.steps)) else None


def sought(
    base: Checkpoint,
    warm_up: WarmUp,
    template: Template,
    ids: Sequence[str],
    precision: Precision,
    max_tokens: int,
) -> tuple[list[str], str, Warmed | None]:
    """The samples that a warm-up on these draws, its key, and its checkpoints if they are there."""
    drawn = draw(ids, warm_up.fraction, warm_up.seed)
    key = key_of(base, warm_up, template, drawn, precision, max_tokens)
    return drawn, key, made(base, warm_up, key, drawn)


def foreseen(
    base: Checkpoint,
    warm_up: WarmUp,
    template: Template,
    ids: Sequence[str],
    fetch: Fetch,
    precision: Precision,
    max_tokens: int,
    progress: Progress,
) -> Warmed:
    """What `calibration.calibrate` would give for the same arguments; nothing is trained.

    Only how many checkpoints there would be can be wrong, where a training has fewer steps than
    it should save and some of its samples have no tokens.
    """
    drawn, key, found = sought(base, warm_up, template, ids, precision, max_tokens)
    if found is not None:
        return found
    as_trained = settled(base, warm_up)
    card = {"warm_up": asdict(as_trained), "rates": mean_rates(len(drawn), as_trained)}
    return warmed(base, key, card, drawn)


def settled(base: Checkpoint, warm_up: WarmUp) -> WarmUp:
    """The warm-up with "auto" settled by the model's size: all weights, or an adapter."""
    if warm_up.adapter != "auto":
        return warm_up
    large = bool(base.folder) and n_weights(base.folder) >= LORA_FROM_PARAMETERS
    return replace(warm_up, adapter="lora" if large else "full")


def saved(key: str, base: Checkpoint) -> Checkpoint | None:
    """The checkpoint with this key that an earlier warm-up of `base` left; nothing is trained.

    None when its weights have gone.
    """
    if not base.folder:
        return Checkpoint(f"{base.name}+warm-up", key[:12], "", key)
    for path in sorted(config.folder("models").glob("calibrated-*/checkpoint.json")):
        card, own = files.read_json(path), path.parent.name.removeprefix("calibrated-")
        if isinstance(card, dict) and card.get("base") == base.card():
            steps = warmed(base, own, card, ()).steps
            found = next((step for step in steps if step.key == key and _there(step)), None)
            if found is not None:
                return found
    return None


def warmed(base: Checkpoint, key: str, card: dict[str, Any], drawn: Sequence[str]) -> Warmed:
    """The checkpoints that a card speaks of."""
    rates = tuple(card["rates"])
    name = str(card.get("name", f"{base.name}+warm-up"))
    adapter = card.get("warm_up", {}).get("adapter") == "lora"
    folder = place(key)

    def step(number: int) -> Checkpoint:
        own = key if len(rates) == 1 else content_hash([key, number])
        if not base.folder:
            return Checkpoint(name, own[:12], "", own)
        if adapter:
            path = str(folder / f"step-{number}.safetensors")
            return Checkpoint(name, own[:12], base.folder, own, adapter=path)
        there = folder if len(rates) == 1 else folder / f"step-{number}"
        return Checkpoint(name, own[:12], str(there), own)

    return Warmed(tuple(step(k) for k in range(len(rates))), rates, frozenset(drawn))


def _there(step: Checkpoint) -> bool:
    """Whether no weights of a checkpoint were deleted; training again gives the same ones."""
    if step.adapter:
        return Path(step.adapter).is_file()
    folder = Path(step.folder)
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
