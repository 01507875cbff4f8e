"""The transformers engine against one sample at a time with all logits in memory."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from benchmarks import fidelity
from core.domain import Sample, Turn
from core.engines import probes
from core.engines.batches import pad, token_batches
from core.engines.hardware import Precision, choose
from core.engines.hf import HFEngine
from core.engines.stack import stack_of
from core.engines.weights import load_model
from core.errors import ConfigError, ModelError
from core.models import Checkpoint, resolve
from core.templates import encode

CPU = Precision("cpu", "fp32")
MakeEngine = Callable[..., HFEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    """Engines over tiny random models; each model is made once."""
    folder = tmp_path_factory.mktemp("models")

    def engine(
        family: str = "llama", tokenizer: Any = None, name: str = "", **changes: Any
    ) -> HFEngine:
        made = folder / (name or family)
        tokenizer = tokenizer or tiny.byte_bpe(tiny.CHATML)
        if not made.exists():
            tiny.save_model(made, tokenizer, family, **changes)
        return HFEngine(Checkpoint(f"tiny-{family}", "0", str(made), made.name), CPU)

    return engine


def check(
    engine: HFEngine, samples: Sequence[Sample], template: Any = "chat", spread: float = 0.05
) -> None:
    """The engine's numbers are those of the obvious oracle."""
    found = engine.token_stats(samples, template, 4096)
    encoded = encode(samples, engine.tokenizer, template)
    model = load_model(engine.checkpoint, "cpu", "float32")
    nll, entropy = tiny.one_at_a_time(model, encoded)
    np.testing.assert_allclose(found["nll"], nll, rtol=0, atol=5e-5)
    np.testing.assert_allclose(found["entropy"], entropy, rtol=0, atol=5e-5)
    assert found["n_tokens"].tolist() == [int(e.scored.sum()) for e in encoded]
    assert not found["over_long"].any()
    assert np.ptp(entropy) > spread, "a model that says the same of everything tests nothing"


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_numbers_are_those_of_one_sample_at_a_time(
    make: MakeEngine, samples: Sequence[Sample], family: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make(family)
    check(engine, samples)
    plain = family == "gpt2"
    assert (engine.stack is None) is plain
    assert caplog.text.count("using the plain path") == plain


@pytest.mark.parametrize("template", ["chat", "alpaca", "instructdiff"])
@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [
        ("bpe", tiny.byte_bpe()),
        ("bpe-bos", tiny.byte_bpe(bos=True)),
        ("bpe-chat-bos", tiny.byte_bpe(tiny.WITH_BOS, bos=True)),
        ("words", tiny.word_level()),
        ("words-chat", tiny.word_level(tiny.CHATML, bos=True)),
    ],
)
def test_numbers_hold_for_every_tokenizer_and_template(
    make: MakeEngine, samples: Sequence[Sample], name: str, tokenizer: Any, template: Any
) -> None:
    check(make(name=name, tokenizer=tokenizer), samples[:8], template)


def test_a_head_with_a_bias_is_measured_with_it(
    make: MakeEngine, samples: Sequence[Sample], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, PhiConfig

    tokenizer = tiny.byte_bpe(tiny.CHATML)
    config = PhiConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.5,
        max_position_embeddings=256,
    )
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    torch.nn.init.normal_(model.get_output_embeddings().bias)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = HFEngine(Checkpoint("tiny-phi", "0", str(tmp_path), "phi"), CPU)
    check(engine, samples)
    assert engine.head is not None


def test_a_mild_cap_is_not_lost_among_small_logits(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    engine = make("gemma2", name="mild", final_logit_softcapping=0.5, initializer_range=0.02)
    check(engine, samples, spread=0.0)
    assert engine.head is not None
    assert engine.head.cap == 0.5


def test_layers_that_are_not_what_they_seem_take_the_plain_path(
    make: MakeEngine,
    samples: Sequence[Sample],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = make(name="odd")
    monkeypatch.setattr(probes, "stack_of", lambda model: replace(stack_of(model), scale=0.1))
    with caplog.at_level(logging.WARNING):
        check(engine, samples)
    assert engine.stack is None
    assert caplog.text.count("using the plain path") == 1


def test_scaled_logits_take_the_plain_path(
    make: MakeEngine, samples: Sequence[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import CohereConfig, CohereForCausalLM

    engine = make(name="scaled")
    torch.manual_seed(0)
    config = CohereConfig(
        vocab_size=len(engine.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.5,
        logit_scale=0.5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    CohereForCausalLM(config).save_pretrained(engine.checkpoint.folder)
    check(engine, samples)
    assert engine.head is None
    assert "its head is unusual, using the plain path" in caplog.text


@pytest.mark.parametrize("batch_tokens", [1, 90, 400])
def test_neither_batches_nor_order_change_the_numbers(
    make: MakeEngine, samples: Sequence[Sample], batch_tokens: int
) -> None:
    engine = make()
    usual = engine.token_stats(samples, "chat", 4096)
    engine.batch_tokens = batch_tokens
    order = np.random.default_rng(batch_tokens).permutation(len(samples))
    mixed = engine.token_stats([samples[k] for k in order], "chat", 4096)
    for name, column in usual.items():
        np.testing.assert_allclose(mixed[name], column[order], rtol=0, atol=1e-5)


def test_lengths_are_those_of_the_measured_text(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    engine = make()
    lengths = engine.lengths(samples, "chat")
    assert lengths.tolist() == [len(e) for e in encode(samples, engine.tokenizer, "chat")]
    longest = int(lengths.max())
    assert not engine.token_stats(samples, "chat", longest)["over_long"].any()
    assert engine.token_stats(samples, "chat", longest - 1)["over_long"].sum() >= 1


def test_samples_beyond_the_limit_are_flagged_and_not_measured(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    engine = make()
    lengths = engine.lengths(samples, "chat")
    limit = int(np.median(lengths))
    found = engine.token_stats(samples, "chat", limit)
    assert found["over_long"].tolist() == (lengths > limit).tolist()
    np.testing.assert_array_equal(np.isnan(found["nll"]), lengths > limit)
    np.testing.assert_array_equal(np.isnan(found["entropy"]), lengths > limit)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_models_own_limit_holds_too(
    make: MakeEngine, samples: Sequence[Sample], family: str
) -> None:
    engine = make(family, name=f"{family}-short", max_position_embeddings=64)
    assert engine.limit == 64
    long = engine.lengths(samples, "chat") > 64
    assert long.any()
    assert engine.token_stats(samples, "chat", 4096)["over_long"].tolist() == long.tolist()


def test_an_empty_answer_is_measured_by_its_end_or_not_at_all(make: MakeEngine) -> None:
    empty = [Sample((Turn("user", "Hi"), Turn("assistant", "")), "tests")]
    for template in ("chat", "alpaca", "instructdiff"):
        found = make().token_stats(empty, template, 4096)
        assert found["n_tokens"].tolist() == [1]
        assert np.isfinite(found["nll"]).all()
    endless = tiny.byte_bpe()
    endless.eos_token = None
    found = make(name="endless", tokenizer=endless).token_stats(empty, "chat", 4096)
    assert found["n_tokens"].tolist() == [0]
    assert np.isnan([found["nll"], found["entropy"]]).all()


def test_no_samples_give_empty_columns(make: MakeEngine) -> None:
    found = make().token_stats([], "chat", 4096)
    assert {name: column.shape for name, column in found.items()} == dict.fromkeys(found, (0,))
    assert make().lengths([], "chat").tolist() == []


def test_padding_is_never_scored(make: MakeEngine, samples: Sequence[Sample]) -> None:
    encoded = encode(samples, make().tokenizer, "chat")
    ids, scored = pad(encoded)
    assert ids.shape == scored.shape == (len(samples), max(map(len, encoded)))
    for row, e in enumerate(encoded):
        assert ids[row, : len(e)].tolist() == e.ids.tolist()
        assert scored[row, : len(e)].tolist() == e.scored.tolist()
        assert not scored[row, len(e) :].any()


def test_batches_hold_every_row_once_within_their_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    rows = np.flatnonzero(lengths > 3)
    batches = list(token_batches(rows, lengths, 120))
    assert sorted(np.concatenate(batches)) == rows.tolist()
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= 120 for b in batches)
    assert list(token_batches(rows[:0], lengths, 120)) == []


def test_what_cannot_be_loaded_is_one_sentence(tmp_path: Path, make: MakeEngine) -> None:
    engine = make(name="broken")
    folder = Path(engine.checkpoint.folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "config.json").write_text("{}")
    for what, read in (
        ("weights", lambda: engine.model),
        ("tokenizer", lambda: engine.tokenizer),
        ("config", lambda: engine.limit),
    ):
        with pytest.raises(ModelError, match=f"its {what} cannot be loaded") as caught:
            read()
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="holds no config"):
        resolve(str(tmp_path))


def test_devices_and_formats_that_are_not_there_are_one_sentence() -> None:
    assert choose("cpu", "fp32") == CPU
    assert choose("cpu").dtype in ("fp32", "bf16")
    assert choose("cpu", "bf16").key == "cpu-bf16"
    with pytest.raises(ConfigError, match="not a number format"):
        choose("cpu", "fp16")
    with pytest.raises(ConfigError, match="not a device"):
        choose("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            choose("cuda")


@pytest.mark.model
def test_bf16_ranks_real_samples_as_fp32_does(
    embedded: Checkpoint,
    shared_data: Path,
    report: list[str],
    record_property: Callable[[str, object], None],
) -> None:
    pool = fidelity.real_samples(shared_data, 96, embedded)
    assert len(pool) >= 96
    ranked = fidelity.compare(
        fidelity.measure(embedded, pool, "fp32"), fidelity.measure(embedded, pool, "bf16")
    )
    for name, correlation in ranked.items():
        report.append(f"bf16 against fp32, {len(pool)} real samples: {name} rho={correlation:.5f}")
        record_property(f"spearman_{name}", correlation)
    assert min(ranked["nll"], ranked["entropy"]) >= 0.999
