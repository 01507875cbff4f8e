"""Pooled hidden states against one text at a time, by loops."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from core.domain import Sample, Turn
from core.engines import Pooling
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.pooling import content_weights, token_weights
from core.errors import ModelError
from core.models import Checkpoint
from core.templates import transcripts

CPU = Precision("cpu", "fp32")
CLOSE = {"rtol": 0, "atol": 2e-6}
CONTENT, POSITION = Pooling("content", (-3, -2)), Pooling("position")
MakeEngine = Callable[..., HFEngine]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    """Engines over tiny random models; each model is made once."""
    folder = tmp_path_factory.mktemp("models")

    def engine(family: str = "llama", name: str = "", **changes: Any) -> HFEngine:
        made = folder / (name or family)
        if not made.exists():
            tiny.save_model(made, tiny.byte_bpe(tiny.CHATML, bos=True), family, **changes)
        return HFEngine(Checkpoint(f"tiny-{family}", "0", str(made), made.name), CPU)

    return engine


@pytest.fixture
def texts(samples: Sequence[Sample]) -> np.ndarray:
    """Three answers to each sample: one of words, one of its own response, one with numbers."""
    rows = [[f"ok {k}", s.response.strip(), f"No, {k}% of it."] for k, s in enumerate(samples)]
    return np.array([[text.encode() for text in row] for row in rows])


def alone(engine: HFEngine, ids: list[int], start: int, pooling: Pooling) -> np.ndarray:
    """The unit vector of one text, token by token."""
    with torch.no_grad():
        states = engine.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    total = np.zeros(states[0].shape[-1])
    for t in range(start, len(ids)):
        weight = {"content": 1.0, "position": t + 1.0, "mean": 1.0}[pooling.kind]
        if pooling.kind == "content":
            weight = float(content_weights([engine.tokenizer.decode([ids[t]])])[0])
        for layer in pooling.layers:
            total += weight * states[layer][0, t].double().numpy()
    return total / (np.linalg.norm(total) + 1e-12)


def plain(engine: HFEngine, text: str) -> list[int]:
    return list(engine.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_answers_are_pooled_as_one_at_a_time(
    make: MakeEngine, samples: Sequence[Sample], texts: np.ndarray, family: str
) -> None:
    engine = make(family)
    rows = [*range(0, 36, 5), 38, 39]  # the last two have several turns
    chosen, said = [samples[k] for k in rows], texts[rows]
    for pooling, span in ((CONTENT, "answer"), (CONTENT, "full"), (POSITION, "answer")):
        found = engine.answer_vectors(chosen, said, pooling, span, 4096)
        assert found["vector"].dtype == np.float16
        for i, sample in enumerate(chosen):
            asked = plain(engine, "\n\n".join(t.content for t in sample.turns[:-1]))
            wanted = []
            for answer in said[i]:
                text = " " + answer.decode()
                ids = asked + plain(engine, text)
                if span == "full":
                    ids = plain(engine, engine.tokenizer.decode(asked) + text)
                start = len(asked) if span == "answer" else 0
                wanted.append(alone(engine, ids, start, pooling))
            np.testing.assert_allclose(found["vector"][i], wanted, rtol=0, atol=1e-3)
            np.testing.assert_allclose(
                found["gram"][i], np.array(wanted) @ np.array(wanted).T, **CLOSE
            )


@pytest.mark.parametrize("batch_tokens", [1, 150])
def test_neither_batches_nor_padding_nor_order_change_a_vector(
    make: MakeEngine, samples: Sequence[Sample], texts: np.ndarray, batch_tokens: int
) -> None:
    engine = make()
    usual = engine.answer_vectors(samples, texts, CONTENT, "answer", 4096)["gram"]
    whole = engine.embeddings(samples, "conversation", POSITION, 4096)["vector"]
    engine.batch_tokens = batch_tokens
    order = np.random.default_rng(batch_tokens).permutation(len(samples))
    mixed = [samples[k] for k in order]
    found = engine.answer_vectors(mixed, texts[order], CONTENT, "answer", 4096)["gram"]
    np.testing.assert_allclose(found, usual[order], **CLOSE)
    found = engine.embeddings(mixed, "conversation", POSITION, 4096)["vector"]
    np.testing.assert_allclose(found, whole[order], **CLOSE)


@pytest.mark.parametrize("pooling", [CONTENT, POSITION, Pooling("mean"), Pooling("mean", (0, 1))])
def test_instructions_and_conversations_are_pooled_as_one_at_a_time(
    make: MakeEngine, samples: Sequence[Sample], pooling: Pooling
) -> None:
    engine = make()
    few = [*samples[:5], *samples[-2:]]
    first = [next(t.content for t in s.turns if t.role == "user") for s in few]
    for text, ids in (
        ("instruction", [list(engine.tokenizer(x)["input_ids"]) for x in first]),  # with its BOS
        ("conversation", transcripts(few, engine.tokenizer)),
        ("query", transcripts(few, engine.tokenizer)),
    ):
        found = engine.embeddings(few, text, pooling, 4096)  # type: ignore[arg-type]
        wanted = [alone(engine, x, 0, pooling) for x in ids]
        assert found["vector"].dtype == np.float32
        np.testing.assert_allclose(found["vector"], wanted, **CLOSE)
        assert not found["empty"].any()
    rendered = engine.tokenizer.decode(transcripts(few[:1], engine.tokenizer)[0])
    assert rendered.startswith("<|im_start|>user")
    assert few[0].response in rendered


def test_an_empty_answer_has_no_vector_and_one_without_content_a_zero_one(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    texts = np.array([[b"Yes", b"", b"... !", b"Yes"]])
    for span in ("answer", "full"):
        found = make().answer_vectors(samples[:1], texts, CONTENT, span, 4096)
        assert found["filled"].tolist() == [[True, False, True, True]]
        norms = np.linalg.norm(found["vector"][0].astype(float), axis=1)
        full = span == "full"  # then the instruction has content
        np.testing.assert_allclose(norms, [1, 0, full, 1], atol=1e-3)
        np.testing.assert_allclose(np.diag(found["gram"][0]), [1, 0, full, 1], **CLOSE)
        np.testing.assert_allclose(found["gram"][0, 0, 3], 1, **CLOSE)


def test_an_instruction_without_content_has_equal_weights_and_an_empty_one_no_vector(
    make: MakeEngine,
) -> None:
    engine = make()
    engine.tokenizer.bos_token = None
    engine.tokenizer.backend_tokenizer.post_processor = None  # without the BOS, all weigh 0
    asked = [Sample((Turn("user", x), Turn("assistant", "Yes")), "t") for x in ("?! ...", " \n")]
    found = engine.embeddings(asked, "instruction", CONTENT, 4096)
    assert found["empty"].tolist() == [False, True]
    assert not found["vector"][1].any()
    equal = engine.embeddings(asked, "instruction", Pooling("mean", CONTENT.layers), 4096)
    np.testing.assert_allclose(found["vector"][0], equal["vector"][0], **CLOSE)


def test_texts_are_cut_on_the_right_at_either_limit(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    long = [Sample((Turn("user", "one two three " * 20), Turn("assistant", "x")), "t")]
    short = make(name="short", max_position_embeddings=32)
    for engine, limit in ((make(), 12), (short, 4096)):
        ids = list(engine.tokenizer(long[0].turns[0].content)["input_ids"])
        kept = min(limit, engine.limit)
        assert len(ids) > kept
        found = engine.embeddings(long, "instruction", POSITION, limit)
        np.testing.assert_allclose(
            found["vector"][0], alone(engine, ids[:kept], 0, POSITION), **CLOSE
        )
        answers = engine.answer_vectors(long, np.array([[b"Yes"]]), CONTENT, "answer", limit)
        assert answers["filled"].all()
        assert not answers["vector"].any(), "nothing of the answer is left to be pooled"


def test_every_token_of_the_vocabulary_has_the_weight_of_its_text() -> None:
    tokenizer = tiny.byte_bpe()
    table = token_weights(tokenizer)
    assert len(table) == len(tokenizer)
    for k in range(len(tokenizer)):
        assert table[k] == content_weights([tokenizer.decode([k])])[0]
    assert set(table.tolist()) == {0.0, 1.0, float(np.float32(1.3))}


def test_the_head_is_never_run(make: MakeEngine, samples: Sequence[Sample]) -> None:
    engine = make()

    def refuse(*_: Any) -> None:
        raise AssertionError("the head ran")

    engine.model.get_output_embeddings().register_forward_hook(refuse)
    engine.embeddings(samples[:2], "conversation", POSITION, 4096)
    engine.answer_vectors(samples[:1], np.array([[b"Yes"]]), CONTENT, "full", 4096)


def test_no_samples_have_no_vectors(make: MakeEngine) -> None:
    engine = make()
    none = engine.answer_vectors([], np.zeros((0, 3), "S4"), CONTENT, "answer", 4096)
    assert [none[x].shape for x in ("vector", "gram", "filled")] == [(0, 3, 32), (0, 3, 3), (0, 3)]
    assert engine.embeddings([], "instruction", CONTENT, 4096)["vector"].shape == (0, 32)


def test_a_pooling_that_a_model_does_not_have_is_one_sentence(
    make: MakeEngine, samples: Sequence[Sample]
) -> None:
    with pytest.raises(ModelError, match="has 3 hidden states"):
        make().embeddings(samples, "instruction", Pooling("content", (-4, -3)), 4096)
    with pytest.raises(ModelError, match="no sentence pooling"):
        make().embeddings(samples, "instruction", Pooling("sentence"), 4096)
