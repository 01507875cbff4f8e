"""The gradient that is written by hand, on every architecture, against autograd in float64."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from test_gradients import Whole, moments
from test_stack import FAMILIES, random_model

from core import influence
from core.engines import attending, head
from core.engines.attending import Heads
from core.engines.gradients import by_hand, fast, sizes, sketched
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.logits import Head
from core.engines.pieces import Piece, cut, lay
from core.engines.taps import by_taps
from core.models import Checkpoint
from core.templates import Encoded

CPU = Precision("cpu", "fp32")


def texts(*lengths: int, vocabulary: int = 290) -> list[Encoded]:
    """Random tokens; the last two thirds of each row are scored."""
    rng = np.random.default_rng(4)
    return [Encoded(rng.integers(3, vocabulary, n), np.arange(n) > n // 3) for n in lengths]


def adapted(folder: Path, family: str) -> tuple[HFEngine, Any]:
    """An engine over a tiny random model of a family with an adapter, and the peft model."""
    where = folder / "model"
    # louder weights lose digits in float32, by autograd as by hand
    random_model(family, initializer_range=0.15).save_pretrained(where)
    tiny.byte_bpe().save_pretrained(where)
    base = Checkpoint(f"{family} by hand", "0", str(where), f"tiny-{family}")
    checkpoint, model = tiny.save_adapter(base, folder / "adapter.safetensors")
    return HFEngine(checkpoint, CPU), model


def oracle(model: Any, batch: Sequence[Encoded]) -> np.ndarray:
    """Flattened gradients (n, P) by autograd in float64, one sample at a time."""
    model = model.double()
    weights = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for e in batch:
        ids = torch.from_numpy(e.ids)
        labels = torch.where(torch.from_numpy(e.scored), ids, -100)
        logits = model(ids[None]).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits.double(), labels[1:])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]).numpy())
    return np.array(rows)


def apart(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The relative error of each row."""
    return np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_by_hand_is_autograds(tmp_path: Path, family: str) -> None:
    engine, model = adapted(tmp_path, family)
    batch = texts(31, 40, 12, 13, 39)
    assert fast(engine)
    whole = Whole(sizes(engine.adapter))
    raw = oracle(model, batch)
    assert apart(sketched(engine, batch, whole, False)[0], raw).max() < 1e-5
    stepped = influence.adam_direction(raw, *moments(engine))
    assert apart(sketched(engine, batch, whole, True)[0], stepped).max() < 1e-5


@pytest.mark.parametrize("queries", [1, 5, 16])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_neither_blocks_of_queries_nor_forgetting_change_the_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, queries: int
) -> None:
    engine, _ = adapted(tmp_path, family)
    whole, batch = Whole(sizes(engine.adapter)), texts(33, 33, 9)
    usual = sketched(engine, batch, whole, False)[0].astype(float)
    monkeypatch.setattr(attending, "QUERIES", queries)
    assert apart(sketched(engine, batch, whole, False)[0], usual).max() < 1e-5
    monkeypatch.setattr(attending, "KEEP", 10)
    assert apart(sketched(engine, batch, whole, False)[0], usual).max() < 1e-5


def test_taps_see_what_the_hand_writes_even_on_an_engine_that_has_read_before(
    tmp_path: Path,
) -> None:
    engine, _ = adapted(tmp_path, "qwen3")
    whole, batch = Whole(sizes(engine.adapter)), texts(30, 21)
    by_itself = by_hand(engine, batch, whole, False)  # folds the norms of the model
    tapped = by_taps(engine, batch, whole, False)
    for ours, theirs in zip(by_itself, tapped, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_only_the_adapted_layers_are_formed(tmp_path: Path) -> None:
    engine, _ = adapted(tmp_path, "llama")
    batch, whole = texts(20, 14), Whole(sizes(engine.adapter))
    everything = sketched(engine, batch, whole, False)[0]
    some = [k for k, name in enumerate(engine.adapter.modules) if ".2." in name and "k_p" in name]
    cut_off = type(engine.adapter)(
        engine.adapter.scale,
        tuple(engine.adapter.modules[k] for k in some),
        engine.adapter.tensors,
    )
    places = [slice(*whole.starts[2 * k : 2 * k + 3 : 2]) for k in some]
    vars(engine)["adapter"] = cut_off
    found = sketched(engine, batch, Whole(sizes(cut_off)), False)[0]
    wanted = np.concatenate([everything[:, place] for place in places], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_a_model_of_another_kind_is_tapped_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tiny.save_model(tmp_path / "m", tiny.byte_bpe(tiny.CHATML), "gpt2")
    checkpoint, _ = tiny.save_adapter(base, tmp_path / "adapter.safetensors")
    # it is said once a process and name
    engine = HFEngine(replace(checkpoint, name=str(tmp_path)), CPU)
    with caplog.at_level(logging.WARNING):
        assert not fast(engine)
        assert not fast(engine)
    assert len([r for r in caplog.records if "plain path" in r.message]) == 1


def test_bfloat16_keeps_the_direction_of_the_raw_gradient(tmp_path: Path) -> None:
    engine, model = adapted(tmp_path, "llama")
    batch = texts(40, 22, 31)
    half = HFEngine(engine.checkpoint, Precision("cpu", "bf16"))
    assert fast(half)
    raw = oracle(model, batch)
    found = sketched(half, batch, Whole(sizes(engine.adapter)), False)[0].astype(float)
    cosine = (found * raw).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(raw, axis=1)
    assert cosine.min() >= 0.997


@pytest.mark.parametrize("cap", [0.0, 5.0])
@pytest.mark.parametrize("bias", [False, True])
def test_through_the_head_is_autograds(
    monkeypatch: pytest.MonkeyPatch, cap: float, bias: bool
) -> None:
    monkeypatch.setattr(head, "ROWS", 7)
    chance = torch.Generator().manual_seed(2)
    weight = torch.randn(5000, 16, generator=chance)
    offset = torch.randn(5000, generator=chance) if bias else None
    hidden = torch.randn(30, 16, generator=chance) * torch.logspace(-2, 0.5, 30)[:, None]
    likeliest = (hidden @ weight.T).argmax(1)
    targets = torch.where(torch.arange(30) % 2 == 0, likeliest, torch.arange(30) * 160)
    share = torch.rand(30, generator=chance)
    nll, gradient = head.through_head(Head(weight, offset, cap), hidden, targets, share)
    x = hidden.double().requires_grad_()
    z = x @ weight.double().T + (0 if offset is None else offset.double())
    z = cap * torch.tanh(z / cap) if cap else z
    right = torch.nn.functional.cross_entropy(z, targets, reduction="none")
    (wanted,) = torch.autograd.grad((right * share).sum(), x)
    torch.testing.assert_close(nll, right.float(), rtol=1e-5, atol=1e-6)
    error = (gradient - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert error.max() < 1e-5, "also where the model is sure of the target"


def test_attention_forgets_long_probabilities() -> None:
    q = torch.randn(2, 3 * (attending.KEEP + 1), 4)
    k = torch.randn(2, attending.KEEP + 1, 4)
    long, short = Heads(q, k, k, 0, 0.0), Heads(q[:, :30], k[:, :10], k[:, :10], 0, 0.0)
    attending.attend(long)
    attending.attend(short)
    assert (len(long.p), len(short.p)) == (0, 1)


@pytest.mark.parametrize("slack", [0.0, 0.1, 1.0])
def test_pieces_hold_every_sample_once_and_few_pads(slack: float) -> None:
    lengths = np.sort(np.random.default_rng(1).integers(5, 60, 40))[::-1]
    pieces = cut(lengths, slack)
    batch = texts(*lengths)
    ids, scored, owner = lay(batch, pieces)
    assert sum(p.n for p in pieces) == len(lengths)
    assert pieces[-1].rows.stop == len(ids) == len(owner)
    for k, e in enumerate(batch):
        own = ids[owner == k]
        assert own[: len(e)].tolist() == e.ids.tolist()
        assert scored[owner == k].sum() == e.scored.sum()
    for p in pieces:
        assert p.n * p.t - lengths[p.samples].sum() <= slack * p.n * p.t
    if slack == 1.0:
        assert pieces == [Piece(0, 0, 40, int(lengths[0]))]
