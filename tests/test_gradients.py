"""Per-sample gradients against autograd, one sample at a time through a real peft model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from core import adapters, influence
from core.domain import Sample, Turn
from core.engines import Sketch
from core.engines.forming import adam_direction
from core.engines.gradients import gradients, sizes, sketched
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.weights import load_model
from core.errors import ModelError
from core.models import Checkpoint
from core.templates import Encoded, encode

CPU = Precision("cpu", "fp32")
SKETCH = Sketch("sjlt", 512, 0)
Make = Callable[..., tuple[HFEngine, Any]]


class Whole:
    """Sketches nothing away: the flattened gradient itself."""

    rows = 1000

    def __init__(self, lengths: Sequence[int]) -> None:
        self.starts = np.cumsum([0, *lengths]).tolist()

    def begin(self, n: int) -> torch.Tensor:
        return torch.full((n, self.starts[-1]), torch.nan)

    def add(self, total: torch.Tensor, piece: int, gradient: torch.Tensor) -> None:
        total[:, self.starts[piece] : self.starts[piece + 1]] = gradient

    def finish(self, total: torch.Tensor) -> torch.Tensor:
        return total


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """An engine over a tiny model with an adapter, and the peft model; each made once."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, tuple[Checkpoint, Any]] = {}

    def engine(family: str = "llama") -> tuple[HFEngine, Any]:
        if family not in made:
            where = folder / family
            # louder weights lose digits in float32, by autograd as by us
            base = tiny.save_model(where, tiny.byte_bpe(tiny.CHATML), family, initializer_range=0.2)
            made[family] = tiny.save_adapter(base, where / "adapter.safetensors")
        checkpoint, model = made[family]
        return HFEngine(checkpoint, CPU), model

    return engine


def oracle(model: Any, encoded: Sequence[Encoded]) -> tuple[np.ndarray, np.ndarray]:
    """Flattened gradient (n, P) of each sample's mean NLL by the adapter, and that NLL (n,)."""
    weights = [p for p in model.parameters() if p.requires_grad]
    rows, losses = [], []
    for e in encoded:
        ids = torch.from_numpy(e.ids)
        labels = torch.where(torch.from_numpy(e.scored), ids, -100)
        logits = model(ids[None]).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, labels[1:])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]).numpy())
        losses.append(loss.item())
    return np.array(rows), np.array(losses)


def moments(engine: HFEngine) -> tuple[np.ndarray, np.ndarray]:
    """The flattened moments (P,) of the adapter."""
    held = engine.adapter
    return tuple(
        torch.cat(
            [held.tensors[f"{m}.{k}.{name}"].flatten() for m in held.modules for k in "AB"]
        ).numpy()
        for name in ("exp_avg", "exp_avg_sq")
    )  # type: ignore[return-value]


def close(found: np.ndarray, wanted: np.ndarray, tolerance: float = 1e-5) -> None:
    """Each row's error is small beside the row."""
    error = np.linalg.norm(found.astype(float) - wanted, axis=1)
    assert (error <= tolerance * np.linalg.norm(wanted, axis=1)).all(), error.max()


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("adam", [False, True])
def test_one_backward_gives_what_autograd_gives_one_sample_at_a_time(
    make: Make, samples: Sequence[Sample], family: str, adam: bool
) -> None:
    engine, model = make(family)
    batch = encode(samples[-14:], engine.tokenizer)
    whole = Whole(sizes(engine.adapter))
    found, norm, nll = sketched(engine, batch, whole, adam)
    raw, losses = oracle(model, batch)
    wanted = influence.adam_direction(raw, *moments(engine)) if adam else raw
    close(found, wanted)
    np.testing.assert_allclose(norm, np.linalg.norm(raw, axis=1), rtol=1e-5)
    np.testing.assert_allclose(nll, losses, rtol=1e-5)
    cosines = np.corrcoef(raw)[np.triu_indices(len(raw), 1)]
    assert np.ptp(cosines) > 0.2, "gradients that are all alike test nothing"


def test_what_comes_back_is_the_sketch_as_unit_rows_in_float16(
    make: Make, samples: Sequence[Sample]
) -> None:
    engine, _ = make()
    found = gradients(engine, samples, "chat", SKETCH, True, 4096)
    norms = np.linalg.norm(found["gradient"].astype(float), axis=1)
    assert found["gradient"].dtype == np.float16
    np.testing.assert_allclose(norms, 1, atol=1e-3)
    encoded = encode(samples, engine.tokenizer)
    whole, norm, nll = sketched(engine, encoded, Whole(sizes(engine.adapter)), True)
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    kept = found["gradient"].astype(float)
    error = (kept @ kept.T - unit @ unit.T)[np.triu_indices(len(samples), 1)]
    assert np.sqrt(np.mean(error**2)) < 1.5 / np.sqrt(SKETCH.width)
    np.testing.assert_allclose(found["norm"], norm, rtol=1e-4)
    np.testing.assert_allclose(found["nll"], nll, rtol=1e-4)
    assert found["n_tokens"].tolist() == [int(e.scored.sum()) for e in encoded]
    stats = engine.token_stats(samples, "chat", 4096)
    np.testing.assert_allclose(found["nll"], stats["nll"], atol=5e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("batch_tokens", [1, 300])
def test_neither_batches_nor_order_change_the_gradients(
    make: Make, samples: Sequence[Sample], family: str, batch_tokens: int
) -> None:
    engine, _ = make(family)
    usual = gradients(engine, samples[-16:], "chat", SKETCH, True, 4096)
    engine.batch_tokens = batch_tokens
    order = np.random.default_rng(batch_tokens).permutation(16)
    mixed = gradients(engine, [samples[-16:][k] for k in order], "chat", SKETCH, True, 4096)
    for name, column in usual.items():
        np.testing.assert_allclose(mixed[name], column[order], rtol=1e-3, atol=2e-4)


def test_padding_changes_nothing(make: Make, samples: Sequence[Sample]) -> None:
    engine, _ = make("mistral")
    short, long = sorted(encode(samples, engine.tokenizer), key=len)[:: len(samples) - 1]
    whole = Whole(sizes(engine.adapter))
    assert len(long) > 3 * len(short)
    alone = sketched(engine, [short], whole, False)[0]
    close(sketched(engine, [long, short], whole, False)[0][1:], alone)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_small_buffer_changes_nothing(
    make: Make, samples: Sequence[Sample], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    from core.engines.sketch import sketcher

    engine, _ = make()
    usual = gradients(engine, samples[:9], "chat", SKETCH, False, 4096)
    into = sketcher(SKETCH, sizes(engine.adapter), "cpu")
    monkeypatch.setattr(into, "rows", rows)
    small = gradients(engine, samples[:9], "chat", SKETCH, False, 4096)
    np.testing.assert_allclose(small["gradient"], usual["gradient"], atol=2e-4)


def test_samples_that_cannot_be_measured_have_zero_rows_and_say_why(
    make: Make, samples: Sequence[Sample]
) -> None:
    engine, _ = make()
    lengths = engine.lengths(samples, "chat")
    limit = int(np.median(lengths))
    silent = Sample((Turn("user", "Hi"),), "tests")
    found = gradients(engine, [*samples, silent], "chat", SKETCH, True, limit)
    unmeasured = np.append(lengths > limit, True)
    assert found["over_long"].tolist() == [*(lengths > limit).tolist(), False]
    assert (np.abs(found["gradient"]).sum(1) == 0).tolist() == unmeasured.tolist()
    assert (found["norm"] == 0).tolist() == unmeasured.tolist()
    assert np.isnan(found["nll"]).tolist() == unmeasured.tolist()
    assert found["n_tokens"][-1] == 0


def test_no_samples_give_empty_columns(make: Make) -> None:
    found = gradients(make()[0], [], "chat", SKETCH, True, 4096)
    assert found.pop("gradient").shape == (0, SKETCH.width)
    assert {name: column.shape for name, column in found.items()} == dict.fromkeys(found, (0,))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_measuring_leaves_the_model_as_it_was(
    make: Make, samples: Sequence[Sample], family: str
) -> None:
    engine, _ = make(family)
    before = engine.token_stats(samples[:6], "chat", 4096)
    first = gradients(engine, samples[:6], "chat", SKETCH, True, 4096)
    again = gradients(engine, samples[:6], "chat", SKETCH, True, 4096)
    np.testing.assert_array_equal(again["gradient"], first["gradient"])
    after = engine.token_stats(samples[:6], "chat", 4096)
    np.testing.assert_array_equal(after["nll"], before["nll"])
    assert all(p.grad is None for p in engine.model.parameters())


def test_a_checkpoint_without_adapter_is_one_sentence(
    tmp_path: Path, samples: Sequence[Sample]
) -> None:
    base = tiny.save_model(tmp_path, tiny.byte_bpe(tiny.CHATML))
    with pytest.raises(ModelError, match="has no adapter"):
        gradients(HFEngine(base, CPU), samples[:1], "chat", SKETCH, True, 4096)


def test_a_layer_that_is_called_twice_is_refused(make: Make, samples: Sequence[Sample]) -> None:
    engine, _ = make("gpt2")
    layers = engine.model.transformer.h
    layers[1].mlp.c_proj = layers[0].mlp.c_proj
    with pytest.raises(ModelError, match="cannot be told") as caught:
        gradients(engine, samples[:2], "chat", SKETCH, True, 4096)
    assert "c_proj" in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adams_direction_is_the_obvious_one(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    g, m = rng.normal(size=(4, 50)).astype(dtype), rng.normal(size=50).astype(dtype)
    v = (rng.random(50) * 1e-4).astype(dtype)
    v[:3] = m[:3] = g[:, 1] = 0
    obvious = (0.9 * m + 0.1 * g) / np.sqrt(0.999 * v + 0.001 * g**2 + 1e-8)
    given = [torch.from_numpy(a.copy()) for a in (m, v)]
    tolerance = {"rtol": 1e-5 if dtype is np.float32 else 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(
        adam_direction(torch.from_numpy(g.copy()), *given).numpy(), obvious, **tolerance
    )
    np.testing.assert_allclose(influence.adam_direction(g, m, v), obvious, **tolerance)
    assert [torch.equal(a, torch.from_numpy(b)) for a, b in zip(given, (m, v), strict=True)]


def test_a_merged_adapter_is_measured_as_peft_measures_it(
    make: Make, samples: Sequence[Sample]
) -> None:
    engine, model = make("qwen2")
    encoded = encode(samples[:8], engine.tokenizer)
    nll, entropy = tiny.one_at_a_time(model, encoded)
    found = engine.token_stats(samples[:8], "chat", 4096)
    np.testing.assert_allclose(found["nll"], nll, atol=5e-5)
    np.testing.assert_allclose(found["entropy"], entropy, atol=5e-5)
    bf16 = load_model(engine.checkpoint, "cpu", "bfloat16")
    assert next(bf16.parameters()).dtype == torch.bfloat16


def conversation(ask: str, answer: str) -> Sample:
    return Sample((Turn("user", ask), Turn("assistant", answer)), "tests")


MATHS = [
    conversation("What is 17 + 25?", "17 + 25 = 42."),
    conversation("What is 9 times 8?", "9 * 8 = 72."),
    conversation("Compute 100 - 37.", "100 - 37 = 63."),
]
PLAYS = [
    conversation("You are a pirate. Greet me.", "Arr, welcome aboard, matey!"),
    conversation("Play a wizard who lost his wand.", "By my beard! Where has it gone?"),
    conversation("Be a grumpy cat.", "Feed me, human, and leave me alone."),
]


@pytest.fixture(scope="module")
def real(embedded: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Any]:
    """The embedded model with an adapter that is small beside its weights, and the peft model."""
    path = tmp_path_factory.mktemp("real") / "adapter.safetensors"
    checkpoint, model = tiny.save_adapter(embedded, path, rank=4)
    weights = [p for p in model.parameters() if p.requires_grad]
    for weight in weights:
        weight.data *= 0.05
    adapters.save(path, model, torch.optim.AdamW(weights), 2.0)
    return checkpoint, model


def nll_beside(model: Any, e: Encoded, direction: torch.Tensor, step: float) -> float:
    """Mean NLL of a sample with the adapter's weights a step away."""
    weights = [p for p in model.parameters() if p.requires_grad]
    changes = direction.split([w.numel() for w in weights])
    for sign in (1, -1):
        for weight, change in zip(weights, changes, strict=True):
            weight.data += sign * step * change.view_as(weight)
        if sign == 1:
            with torch.no_grad():
                logits = model(torch.from_numpy(e.ids)[None]).logits[0].double()
    at = np.flatnonzero(e.scored)
    return float(tiny.full_softmax(logits[at - 1], e.ids[at])[0].mean())


@pytest.mark.model
def test_the_embedded_models_gradient_is_the_slope_of_its_loss(
    real: tuple[Checkpoint, Any],
) -> None:
    checkpoint, model = real
    engine = HFEngine(checkpoint, CPU)
    encoded = encode([MATHS[0], PLAYS[0]], engine.tokenizer)
    found, norm, nll = sketched(engine, encoded, Whole(sizes(engine.adapter)), False)
    e, direction = encoded[1], torch.from_numpy(found[1] / norm[1])
    step = 0.02 / float(norm[1])  # the NLL changes by about 0.02
    ahead, back = (nll_beside(model, e, direction, x) for x in (step, -step))
    assert nll_beside(model, e, direction, 0) == pytest.approx(nll[1], abs=1e-4)
    assert (ahead - back) / (2 * step) == pytest.approx(float(norm[1]), rel=0.02)


@pytest.mark.model
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_gradients_of_one_subject_are_closer_than_those_of_another(
    real: tuple[Checkpoint, Any], dtype: Any
) -> None:
    engine = HFEngine(real[0], Precision("cpu", dtype))
    query = [conversation("What is 12 + 30?", "12 + 30 = 42.")]
    sketch = Sketch("sjlt", 4096, 0)
    rows = gradients(engine, MATHS + PLAYS + query, "chat", sketch, False, 512)["gradient"]
    *pool, target = rows.astype(float)
    close_to = np.array(pool) @ target
    assert close_to[:3].min() > close_to[3:].max()
    assert close_to[:3].mean() > close_to[3:].mean() + 0.1
