"""Answer entropy against numbers that CAFT's own code produced (any set of this layout)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.curves import auc_by, gini, roc_auc
from core.engines.answer_token import reference_entropy
from core.engines.logits import nll_entropy
from core.engines.questions import named
from core.methods.answer_entropy import AnswerEntropy, bands, even_chunks

FLOAT32, FLOAT64 = {"rtol": 1e-5, "atol": 1e-6}, {"rtol": 1e-9, "atol": 1e-12}
BANDS = ("easy", "middle", "hard")
UNKNOWN = "0"  # what the authors' models print for "do not know"


@pytest.fixture(scope="module")
def caft(golden: Path) -> dict[str, Any]:
    return dict(json.loads((golden / "caft.json").read_text()))


def number(value: float | str) -> float:
    return float(value)  # "inf" and "nan" are strings in the files


def test_entropies_are_those_of_the_authors(caft: dict[str, Any], golden: Path) -> None:
    assert caft["entropy_cases"]
    with np.load(golden / "caft_logits.npz") as archive:
        for case in caft["entropy_cases"]:
            z = archive[case["name"]]
            assert len(z) == case["vocab"]
            wanted = max(number(case["entropy_nats"]), 0.0)
            entropy, _, _ = reference_entropy(z[None])
            np.testing.assert_allclose(entropy, [wanted], **FLOAT32, err_msg=case["name"])
            for block in (7, len(z)):
                parts = torch.from_numpy(z)[None].split(block, 1)
                _, exact = nll_entropy(parts, torch.zeros(1, dtype=torch.int64))
                np.testing.assert_allclose(exact, [wanted], **FLOAT32, err_msg=case["name"])


def test_a_sequence_has_the_authors_entropies_tokens_and_counts(
    caft: dict[str, Any], golden: Path
) -> None:
    wanted = caft["sequence"]
    with np.load(golden / "caft_sequence_logits.npz") as archive:
        logits = archive["logits"]
    assert logits.shape == (wanted["T"], wanted["vocab"])
    entropy, greedy, above = reference_entropy(logits)
    clipped = np.maximum([number(e) for e in wanted["entropies"]], 0)
    np.testing.assert_allclose(entropy, clipped, **FLOAT32)
    assert greedy.tolist() == wanted["greedy"]
    assert above.tolist() == wanted["n_tokens_prob_gt_1e5"]


def test_areas_are_those_of_the_authors(caft: dict[str, Any]) -> None:
    roc = caft["roc"]
    entropy, right = np.array(roc["entropy"]), np.array(roc["correct"])
    area = roc_auc(-entropy, right)
    np.testing.assert_allclose(area, roc["overall"]["roc_auc"], **FLOAT64)
    np.testing.assert_allclose(gini(area), roc["overall"]["gini"], **FLOAT64)
    normalised = roc_auc(1 - entropy / entropy.max(), right)
    np.testing.assert_allclose(normalised, area, **FLOAT64)
    by = auc_by(roc["category"], -entropy, right, roc["min_category_size"])
    category = np.array(roc["category"])
    seen = {row["category"] for row in roc["table"]} - {"ALL"}
    assert seen == set(by), "the same categories are large enough"
    for row in roc["table"]:
        own = np.ones(len(right), bool) if row["category"] == "ALL" else category == row["category"]
        found = by.get(row["category"], area)
        np.testing.assert_allclose(found, row["roc_auc"], **FLOAT64, err_msg=row["category"])
        np.testing.assert_allclose(gini(found), row["gini"], **FLOAT64)
        np.testing.assert_allclose(right[own].mean(), row["accuracy"], **FLOAT64)
        assert int(own.sum()) == row["num_samples"]


def test_even_chunks_are_those_of_the_authors(caft: dict[str, Any]) -> None:
    wanted = caft["even_chunks"]
    entropy = np.array(wanted["entropy"])
    answered = [len(a) == 1 and a.isalpha() and a.islower() for a in wanted["answer"]]
    rows = np.flatnonzero(answered)
    assert wanted["chunks"]
    for count, chunks in wanted["chunks"].items():
        chunk = even_chunks(entropy[rows], int(count))
        order = np.argsort(entropy[rows], kind="stable")
        found = [rows[order[chunk[order] == k]].tolist() for k in range(int(count))]
        assert found == chunks, count


def test_bands_are_those_of_the_authors(caft: dict[str, Any]) -> None:
    wanted = caft["class_assignment"]
    band = bands(np.array(wanted["norm_entropy"]), wanted["q25"], wanted["q75"])
    assert [BANDS[k] for k in band] == wanted["label"]


def test_numbers_are_answers_where_the_authors_say_so(caft: dict[str, Any]) -> None:
    numbers = [str(k) for k in range(1, 21)]
    for case in caft["numeric_answer_validation"]:
        valid = named(case["answer"], [UNKNOWN, *numbers], exact=True) >= 0
        assert valid == case["valid"], case
    for case in caft["numeric_answer_correct"]:
        correct = named(case["model_answer"], numbers) == case["answer_index"]
        assert correct == case["correct"], case


# the authors' complete results for one model: read where they lie, never copied


@pytest.fixture(scope="module")
def real(golden: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    path = golden / "caft_real_qwen_3b.npz"
    if not path.is_file():
        pytest.skip(f"needs the authors' results in {path}")
    with np.load(path) as archive:
        columns = {name: archive[name] for name in archive.files}
    return columns, json.loads((golden / "caft_real_qwen_3b.json").read_text())


def test_real_results_have_the_authors_accuracy_and_area(
    real: tuple[dict[str, np.ndarray], dict[str, Any]], report: list[str]
) -> None:
    x, wanted = real
    assert len(x["entropy"]) == wanted["n"]
    letters = [chr(97 + k) for k in range(26)]
    gold = x["answer_index"].astype(int)
    correct = np.array([named(str(a), letters) for a in x["answer"]]) == gold
    np.testing.assert_array_equal(correct, x["correct"])
    np.testing.assert_allclose(correct.mean(), wanted["accuracy"], **FLOAT64)
    area = roc_auc(-x["entropy"], correct)
    np.testing.assert_allclose(area, wanted["roc_auc"], rtol=0, atol=1e-6)
    report.append(f"answer entropy, {wanted['n']} real results: ROC AUC {area:.8f}")
    for name, row in wanted["by_category"].items():
        own = x["category_names"][x["category"]] == name
        assert int(own.sum()) == row["n"], name
        np.testing.assert_allclose(correct[own].mean(), row["accuracy"], **FLOAT64)
        np.testing.assert_allclose(
            roc_auc(-x["entropy"][own], correct[own]), row["roc_auc"], **FLOAT64
        )


def scored(x: dict[str, np.ndarray], **params: Any) -> Any:
    """The method itself on the authors' entropies."""
    n = len(x["entropy"])
    return AnswerEntropy(**params).score(
        {
            "answer_entropy": x["entropy"],
            "answer_greedy": np.zeros(n, int),
            "answer_choice": np.ones(n, bool),
            "answer_predicted": np.where(x["correct"], x["answer_index"], 25),
            "answer_gold": x["answer_index"],
            "answer_options": np.zeros((n, 26)),
            "answer_over_long": np.zeros(n, bool),
        }
    )


def test_real_results_fall_into_the_authors_bands(
    real: tuple[dict[str, np.ndarray], dict[str, Any]],
) -> None:
    x, wanted = real
    scores = scored(x)
    np.testing.assert_allclose(
        np.quantile(x["entropy"], [0.25, 0.75]), [wanted["q25"], wanted["q75"]], **FLOAT64
    )
    for k, name in enumerate(BANDS):
        own, row = scores.group == k, wanted["by_band"][name]
        assert int(own.sum()) == row["n"], name
        found = scores.diagnostics["correct"][own].mean()
        np.testing.assert_allclose(found, row["accuracy"], **FLOAT64)


def test_real_results_fall_into_the_authors_chunks(
    real: tuple[dict[str, np.ndarray], dict[str, Any]],
) -> None:
    x, wanted = real
    groups = wanted["by_group"]
    chunk = scored(x, cuts="chunks", chunks=len(groups)).group
    np.testing.assert_array_equal(chunk, x["group"])
    for name, row in groups.items():
        own = chunk == int(name)
        assert int(own.sum()) == row["n"]
        np.testing.assert_allclose(x["correct"][own].mean(), row["accuracy"], **FLOAT64)
        ends = [x["entropy"][own].min(), x["entropy"][own].max()]
        np.testing.assert_allclose(ends, [row["entropy_min"], row["entropy_max"]], **FLOAT64)
