"""The kernels against numbers that LESS's and its successor's own code produced."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CharTokenizer

from core.domain import Sample, Turn
from core.engines import forming
from core.engines.sketch import dense_block, dense_product
from core.influence import (
    adam_direction,
    combined,
    cosines,
    mean_rates,
    shares,
    similarity,
    subtask_scores,
)
from core.methods.gradient_similarity import GradientSimilarity
from core.templates import Encoded, encode, encode_less

FLOAT32, FLOAT64 = {"rtol": 1e-5, "atol": 1e-7}, {"rtol": 1e-9, "atol": 1e-15}
COSINES = {"rtol": 1e-5, "atol": 5e-7}  # the order of adding shows beside 1, near 0 as well
Arrays = dict[str, np.ndarray]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def arrays(path: Path) -> Arrays:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def less(golden: Path) -> dict[str, Any]:
    return dict(read(golden / "less.json"))


@pytest.fixture(scope="module")
def targeted(golden: Path) -> dict[str, Any]:
    return dict(read(golden / "targeted.json"))


@pytest.fixture(scope="module")
def vectors(golden: Path) -> Arrays:
    return arrays(golden / "targeted_inputs.npz")


@pytest.fixture(scope="module")
def grads(golden: Path) -> Arrays:
    return arrays(golden / "less_gradients.npz")


def test_adams_direction_is_the_authors(grads: Arrays) -> None:
    given = [grads[name] for name in ("raw_grad", "exp_avg", "exp_avg_sq")]
    np.testing.assert_allclose(adam_direction(*given), grads["adam_grad"], **FLOAT32)
    found = forming.adam_direction(*(torch.from_numpy(a.copy()) for a in given)).numpy()  # in place
    np.testing.assert_allclose(found, grads["adam_grad"], **FLOAT32)


def dense_matrix(n_rows: int, width: int, block: int) -> np.ndarray:
    blocks = [
        torch.cat(list(dense_block(n_rows, min(width, block), 1000 * b)))
        for b in range(-(-width // block))
    ]
    return torch.cat(blocks, 1).numpy()[:, :width]


def block_of(signs: np.ndarray) -> int:
    """Columns that one generator made: the file does not say, and it is 128 at most."""
    sizes = range(1, min(128, signs.shape[1]) + 1)
    found = [b for b in sizes if np.array_equal(dense_matrix(*signs.shape, b), signs)]
    assert found, "no size of block gives the authors' matrix"
    return found[0]


def test_the_dense_matrix_is_the_authors(grads: Arrays) -> None:
    signs = grads["projection_matrix"]
    assert set(np.unique(signs)) == {-1, 1}
    assert block_of(signs) > 1


@pytest.mark.parametrize("kind", ["adam", "raw"])
def test_dense_sketches_are_the_authors(grads: Arrays, kind: str) -> None:
    block, width = block_of(grads["projection_matrix"]), grads["projection_matrix"].shape[1]
    rounded = torch.from_numpy(grads[f"{kind}_grad"]).half()
    found = dense_product(rounded, width, 0, block).numpy()
    wanted = grads[f"{kind}_projected_fp16cast"]
    # sums of numbers with both signs: the order of adding shows beside the row, not the number
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    if kind == "adam":
        unit = found / np.linalg.norm(found, axis=1, keepdims=True)
        np.testing.assert_allclose(unit, grads["adam_projected_normalized"], **FLOAT32)


def test_influence_scores_are_the_authors(less: dict[str, Any], golden: Path) -> None:
    held = arrays(golden / "less_influence_inputs.npz")
    names = sorted((k for k in held if k.startswith("val_ckpt")), key=lambda k: int(k[8:]))
    weights = shares(less["checkpoint_weights"])
    assert len(names) == len(weights)
    for file, rows in less["files"].items():
        each = [similarity(held[f"train_{file}_ckpt{name[8:]}"], held[name]) for name in names]
        score = subtask_scores(combined(each, weights), less["n_subtasks"])
        assert each[0].shape == (rows, less["n_subtasks"] * less["val_per_subtask"])
        np.testing.assert_allclose(score, less["influence_score"][file], **FLOAT32)


def test_the_method_itself_gives_the_authors_scores(less: dict[str, Any], golden: Path) -> None:
    held = arrays(golden / "less_influence_inputs.npz")
    names = sorted((k for k in held if k.startswith("val_ckpt")), key=lambda k: int(k[8:]))
    method = GradientSimilarity(
        warm_up_epochs=len(names),
        checkpoints=len(names),
        aggregate="max_mean",
        subtasks=less["n_subtasks"],
    )
    for file, rows in less["files"].items():
        x: dict[str, np.ndarray] = {}
        for k, (name, rate) in enumerate(zip(names, less["checkpoint_weights"], strict=True), 1):
            x[f"query_{k}_gradient"] = held[name]
            x[f"pool_{k}_gradient"] = held[f"train_{file}_ckpt{name[8:]}"]
            x[f"pool_{k}_rate"] = np.array([rate])
            x[f"pool_{k}_nll"] = x[f"pool_{k}_norm"] = np.ones(rows)
            x[f"pool_{k}_n_tokens"] = np.ones(rows, np.int64)
            x[f"pool_{k}_over_long"] = np.zeros(rows, bool)
        scores = method.score(method.reduce(x))
        np.testing.assert_allclose(scores.value, less["influence_score"][file], **FLOAT32)


def test_mean_learning_rates_are_the_authors(targeted: dict[str, Any]) -> None:
    wanted = targeted["avg_lr_per_epoch"]
    rates = mean_rates(targeted["lr_log"], len(wanted))
    np.testing.assert_allclose(rates, wanted, **FLOAT64)
    np.testing.assert_allclose(shares(rates), targeted["avg_lr_normalized"], **FLOAT64)


def test_cosines_are_the_authors(vectors: Arrays) -> None:
    found = cosines(vectors["train_raw0"], vectors["query_raw0"]).T
    np.testing.assert_allclose(found, vectors["cosine_raw0"], **COSINES)


def test_influence_over_checkpoints_is_the_authors(
    targeted: dict[str, Any], vectors: Arrays
) -> None:
    weights = shares(mean_rates(targeted["lr_log"], len(targeted["avg_lr_per_epoch"])))
    each = [
        similarity(vectors[f"train_unit_ckpt{t}"], vectors[f"query_unit_ckpt{t}"])
        for t in targeted["ckpt_to_embedding_index"]
    ]
    found = combined(each, weights).T
    assert found.shape == (targeted["M"], targeted["N"])
    np.testing.assert_allclose(found, vectors["influence"], **COSINES)


def conversation(messages: list[dict[str, str]]) -> tuple[Turn, ...]:
    return tuple(Turn(m["role"], m["content"]) for m in messages)  # type: ignore[arg-type]


def characters(case: dict[str, Any]) -> CharTokenizer:
    tokenizer = CharTokenizer(case["bos"])
    tokenizer.eos_token_id = case.get("eos_char_id", tokenizer.eos_token_id)
    tokenizer.all_special_ids = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return tokenizer


@pytest.mark.parametrize("code", ["less", "dcml"])
def test_chats_are_worded_and_masked_as_the_authors_do(less: dict[str, Any], code: str) -> None:
    for case in less["chat_masks"]:
        turns, tokenizer = conversation(case["messages"]), characters(case)
        encoded: Encoded
        if code == "less":
            encoded = encode_less(turns, tokenizer)
        else:
            [encoded] = encode([Sample(turns, "s")], tokenizer, "tulu")
        cut, wanted = case["max_seq_length"], case[code]
        # we flag what is too long, where the authors cut it
        text = "".join(map(chr, encoded.ids[:cut]))
        # and leave out turns after the last answer, where the authors keep them without a label
        answered = turns[-1].role == "assistant"
        assert text == (wanted["text"] if answered else wanted["text"][: len(text)])
        assert np.flatnonzero(encoded.scored[:cut]).tolist() == wanted["label_positions"]


def turns_of(text: str) -> tuple[Turn, ...]:
    """The turns of a rendered prompt that ends with the header of the answer."""
    parts = text.split("<|")[1:-1]
    cut = [part.split("|>\n", 1) for part in parts]
    return tuple(Turn(role, content) for role, content in cut)  # type: ignore[arg-type]


def test_queries_are_worded_and_masked_as_the_authors_do(less: dict[str, Any]) -> None:
    for case in less["query_masks"]:
        turns = (*turns_of(case["prompts"]), Turn("assistant", case["labels"]))
        [encoded] = encode([Sample(turns, "s")], characters(case), "tulu")
        assert encoded.ids.tolist() == case["input_ids"]
        assert np.flatnonzero(encoded.scored).tolist() == case["label_positions"]
