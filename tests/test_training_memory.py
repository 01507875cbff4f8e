"""A training short of memory reads less at once, and ends with the weights of an undisturbed one.

The weights are compared in float64. There the sum of a step's n tokens in another order moves a
gradient, which is clipped to a norm of 1, by about n * 2^-53; Adam divides by sqrt(v) + 1e-8, so a
weight moves by no more than 1e8 times that times the learning rate. Over all steps that is the
bound below: less than eight units in the last place that float32 has at 1, where any other
mathematics shows in the third digit. Most weights are the same to their last bit.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from test_short_memory import errors

from core import config, files, training
from core.calibration import calibrate, trainable
from core.domain import Sample, WarmUp
from core.engines import learning
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.errors import RunError
from core.models import Checkpoint
from core.progress import Progress
from core.templates import Encoded, encode

CPU = Precision("cpu", "fp32")
WARM_UP = WarmUp(fraction=1.0, epochs=2, learning_rate=5e-3, batch_size=10, seed=1, adapter="full")
LORA = WarmUp(1.0, 2, 5e-3, 10, 1, adapter="lora", rank=4, dropout=0.3)
ROOM = 150  # tokens at once; two or three samples
ULP = 2.0**-23  # of float32, at 1


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return tiny.save_model(tmp_path / "base", tiny.byte_bpe(tiny.CHATML), initializer_range=0.1)


@pytest.fixture(autouse=True)
def _several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of several forward passes, so that one can fail where others are added up."""
    monkeypatch.setitem(learning.BATCH_TOKENS, "cpu", 400)


class Short:
    """Lets a model run out of memory after `calm` passes, wherever more than ROOM is read."""

    def __init__(self, model: Any, error: Exception, calm: int, backward: bool) -> None:
        self.error, self.calm, self.raised, self.passes = error, calm, 0, 0
        self.full = False
        model.register_forward_pre_hook(self.forward, with_kwargs=True)
        if backward:  # the gradients of the last layer have been added then
            self.calm = 10**9
            self.wait = calm
            first = next(m for m in model.modules() if type(m).__name__.endswith("DecoderLayer"))
            first.register_full_backward_pre_hook(self.backward)

    def forward(self, _: Any, args: Any, kwargs: Any) -> None:
        rows, tokens = kwargs["input_ids"].shape
        self.passes += 1
        self.full = rows * tokens > ROOM
        if self.passes > self.calm and self.full:
            self.fail()

    def backward(self, *_: Any) -> None:
        if self.passes > self.wait and self.full:
            self.fail()

    def fail(self) -> None:
        self.raised += 1
        raise self.error


def trained(
    base: Checkpoint,
    samples: Sequence[Sample],
    folder: Path,
    disturb: Callable[[Any], object] = lambda model: None,
    warm_up: WarmUp = WARM_UP,
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The weights (float64) and losses of a training."""
    model, warm_up = trainable(base, warm_up, CPU)
    model = model.double()
    disturb(model)
    progress = Progress(quiet=True, path=folder / "status.json")
    losses = training.train(model, encoded(base, samples), warm_up, CPU, folder, progress)
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}, losses


def encoded(base: Checkpoint, samples: Sequence[Sample]) -> list[Encoded]:
    return encode(samples, HFEngine(base, CPU).tokenizer)


def bound(base: Checkpoint, samples: Sequence[Sample], warm_up: WarmUp) -> float:
    """See the module; no step has more tokens than there are."""
    tokens = sum(len(e) for e in encoded(base, samples))
    steps = warm_up.epochs * len(samples) / warm_up.batch_size
    return steps * warm_up.learning_rate * tokens * 2.0**-53 * 1e8


def check_same(found: Any, right: Any, most: float) -> None:
    assert found.keys() == right.keys()
    apart = max(float((found[name] - right[name]).abs().max()) for name in right)
    assert apart <= most < 8 * ULP


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("kind", range(3))
def test_a_step_that_ran_out_of_memory_is_begun_anew_in_smaller_parts(
    kind: int,
    backward: bool,
    base: Checkpoint,
    samples: Sequence[Sample],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    right, losses = trained(base, samples, tmp_path / "right")
    assert "out of memory" not in caplog.text
    shorts: list[Short] = []

    def disturb(model: Any) -> None:
        shorts.append(Short(model, errors()[kind], calm=9, backward=backward))

    found, again = trained(base, samples, tmp_path / "short", disturb)
    check_same(found, right, bound(base, samples, WARM_UP))
    assert again == pytest.approx(losses, rel=1e-6)
    assert shorts[0].raised == caplog.text.count("warm-up: out of memory; going on with") >= 1
    told = files.read_json(tmp_path / "short" / "status.json")
    assert told is not None
    assert told["done"] == told["total"] == 2 * sum(len(e) for e in encoded(base, samples))


@pytest.mark.parametrize(
    ("family", "changes", "warm_up"),
    [("llama", {}, LORA), ("gpt2", {"attn_pdrop": 0.0}, WARM_UP)],
    ids=["adapter", "whole"],
)
def test_a_batch_that_is_cut_loses_by_dropout_what_it_would_have_lost(
    family: str, changes: Any, warm_up: WarmUp, samples: Sequence[Sample], tmp_path: Path
) -> None:
    base = tiny.save_model(tmp_path / family, tiny.byte_bpe(tiny.CHATML), family, **changes)
    right, losses = trained(base, samples, tmp_path / "right", warm_up=warm_up)
    other = trained(base, samples, tmp_path / "other", warm_up=warm_up)[0]
    assert all(torch.equal(other[name], right[name]) for name in right)
    shorts: list[Short] = []

    def disturb(model: Any) -> None:
        shorts.append(Short(model, MemoryError(), calm=3, backward=False))

    found, again = trained(base, samples, tmp_path / "short", disturb, warm_up)
    assert shorts[0].raised >= 1
    assert again == pytest.approx(losses, rel=1e-6)
    check_same(found, right, bound(base, samples, warm_up))


@pytest.fixture
def run(base: Checkpoint, samples: Sequence[Sample]) -> Callable[[], Any]:
    by_id = {s.sample_id: s for s in samples}
    rest = (CPU, 4096, Progress(quiet=True))
    return lambda: calibrate(
        base, WARM_UP, "chat", list(by_id), lambda ids: [by_id[i] for i in ids], *rest
    )


def test_a_calibrated_checkpoint_made_in_smaller_parts_has_the_same_key_and_measures_alike(
    run: Callable[[], Any], samples: Sequence[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = run()
    before = HFEngine(right.checkpoint, CPU).token_stats(samples, "chat", 4096)
    config.folder("models").rename(config.cache_dir() / "models-before")
    read = learning._summed_nll

    def short(model: Any, batch: Sequence[Encoded], device: str) -> Any:
        if len(batch) > 1 and len(batch) * len(batch[0]) > ROOM:
            raise MemoryError
        return read(model, batch, device)

    monkeypatch.setattr(learning, "_summed_nll", short)
    found = run()
    assert found == right
    after = HFEngine(found.checkpoint, CPU).token_stats(samples, "chat", 4096)
    for name in ("nll", "entropy"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-4)


def test_no_memory_to_train_on_one_sample_is_one_sentence_and_no_checkpoint(
    run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(learning, "_summed_nll", full)
    with pytest.raises(RunError) as caught:
        run()
    assert str(caught.value) == (
        "warm-up: memory is short even for one sample at a time. Use a smaller --max-tokens or a"
        " smaller model; an adapter needs less than all weights."
    )
    assert list(config.folder("models").iterdir()) == []


def test_no_memory_for_the_optimiser_is_one_sentence_and_no_checkpoint(
    run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise errors()[0]

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(RunError, match="memory is short for its training") as caught:
        run()
    assert "\n" not in str(caught.value)
    assert list(config.folder("models").iterdir()) == []
