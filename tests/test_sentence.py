"""The sentence embedder: the real all-MiniLM-L6-v2 out of its installed package."""

from pathlib import Path

import numpy as np
import pytest

from core import models
from core.domain import Sample, Turn
from core.engines import Pooling, Sampling, Sketch
from core.engines.hardware import Precision
from core.engines.loader import load
from core.engines.sentence import ASK, SentenceEngine
from core.errors import ModelError
from core.models import Checkpoint

OWN = Pooling("sentence")
PAIRS = [
    ("Why do onions make us cry?", "What makes people cry when they cut an onion?"),
    ("Write a Python function that sorts a list.", "Sort a list with a function in Python."),
    ("How far is the moon from the earth?", "What is the distance between earth and moon?"),
]


def ask(*texts: str, answer: str = "Yes.") -> list[Sample]:
    return [Sample((Turn("user", t), Turn("assistant", answer)), "tests") for t in texts]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> SentenceEngine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        engine = load(models.resolve("minilm"), Precision("cpu", "bf16"))
    assert isinstance(engine, SentenceEngine)
    return engine


def vectors(engine: SentenceEngine, samples: list[Sample], text: str = "instruction") -> np.ndarray:
    return engine.embeddings(samples, text, OWN, 256)["vector"]  # type: ignore[arg-type]


def test_a_paraphrase_is_nearer_than_anything_else(minilm: SentenceEngine) -> None:
    left = vectors(minilm, ask(*(a for a, _ in PAIRS)))
    right = vectors(minilm, ask(*(b for _, b in PAIRS)))
    cosine = left @ right.T
    others = cosine[~np.eye(len(PAIRS), dtype=bool)]
    assert np.diag(cosine).min() > 0.6 > 0.4 > others.max()


def test_vectors_are_those_of_sentence_transformers(
    minilm: SentenceEngine, samples: list[Sample]
) -> None:
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(minilm.checkpoint.folder, device="cpu", local_files_only=True)
    texts = [next(t.content for t in s.turns if t.role == "user") for s in samples]
    expected = plain.encode(texts, show_progress_bar=False, normalize_embeddings=True)
    found = minilm.embeddings(samples, "instruction", OWN, 4096)
    assert found["vector"].dtype == np.float32
    np.testing.assert_allclose(found["vector"], expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found["vector"], axis=1), 1, atol=1e-5)
    assert not found["empty"].any()


def test_neither_order_nor_batch_changes_a_vector(
    minilm: SentenceEngine, samples: list[Sample]
) -> None:
    whole = vectors(minilm, samples, "conversation")
    order = np.random.default_rng(0).permutation(len(samples))
    mixed = vectors(minilm, [samples[i] for i in order], "conversation")
    np.testing.assert_allclose(mixed, whole[order], atol=1e-5)
    for row in (0, 7, len(samples) - 1):
        alone = vectors(minilm, samples[row : row + 1], "conversation")
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-5)


def test_each_text_reads_its_own_turns(minilm: SentenceEngine) -> None:
    question, answer = "Name a colour.\n\nof the sky", "Blue, on a clear day."
    turns = (Turn("system", "Be brief."), Turn("user", question), Turn("assistant", answer))
    sample = Sample(turns, "tests", input="of the sky")
    whole = f"Be brief.\n\n{question}\n\n{answer}"
    for text, words in (
        ("instruction", question),
        ("conversation", whole),
        ("query", f"{ASK}\n\n{whole}"),
    ):
        same = vectors(minilm, ask(words))
        np.testing.assert_allclose(vectors(minilm, [sample], text), same, atol=1e-5)


def test_an_empty_text_is_a_zero_vector_and_says_so(minilm: SentenceEngine) -> None:
    found = minilm.embeddings(ask("", "Add 2 and 2", " \n"), "instruction", OWN, 256)
    assert found["empty"].tolist() == [True, False, True]
    assert (np.linalg.norm(found["vector"], axis=1) > 0).tolist() == [False, True, False]
    none = minilm.embeddings([], "instruction", OWN, 256)
    assert (none["vector"].shape, none["empty"].shape) == ((0, 384), (0,))


def test_texts_are_cut_at_the_asked_limit_and_at_the_models_own(minilm: SentenceEngine) -> None:
    words = "the sea is blue and the sand is warm " * 60
    longer = ask(words + "but taxes rise", words + "and cats sleep")
    for limit in (16, 4096):
        cut = minilm.embeddings(longer, "instruction", OWN, limit)["vector"]
        np.testing.assert_allclose(cut[0], cut[1], atol=1e-5)
    short = minilm.embeddings(longer, "instruction", OWN, 16)["vector"]
    assert np.abs(short - cut).max() > 1e-3
    assert (minilm.lengths(longer, "chat") > 500).all()


def test_lengths_grow_with_the_conversation(minilm: SentenceEngine) -> None:
    few, many = ask("Add 2 and 2")[0], ask("Add 2 and 2", answer="It is four, as ever.")[0]
    lengths = minilm.lengths([few, many], "chat")
    assert lengths.dtype == np.int64
    assert 0 < lengths[0] < lengths[1]
    assert minilm.lengths([], "chat").shape == (0,)


def test_what_an_embedder_cannot_do_is_one_sentence(minilm: SentenceEngine) -> None:
    some = ask("Add 2 and 2")
    calls = [
        lambda: minilm.token_stats(some, "chat", 256),
        lambda: minilm.answer_token(some, "plain", 256),
        lambda: minilm.answers(some, Sampling(2, 1.0, 1.0, 8, 0), 256),
        lambda: minilm.answer_vectors(some, np.array([[b"4"]]), OWN, "answer", 256),
        lambda: minilm.gradients(some, "chat", Sketch("sjlt", 8, 0), True, 256),
        lambda: minilm.embeddings(some, "instruction", Pooling("position"), 256),
    ]
    for call in calls:
        with pytest.raises(ModelError, match=r"^minilm: is a sentence embedder, it cannot \w+"):
            call()


def test_a_folder_that_is_no_embedder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[]", "utf8")
    (tmp_path / "config.json").write_text("{}", "utf8")
    engine = SentenceEngine(Checkpoint("broken", "", str(tmp_path), "k"), Precision("cpu", "fp32"))
    with pytest.raises(ModelError, match=r"^broken: cannot be loaded as a sentence embedder"):
        engine.embeddings(ask("hello"), "instruction", OWN, 256)
