"""The kernels against numbers that InstructDiff's own code produced (any set of this layout)."""

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CharTokenizer, full_softmax

from core.domain import Sample, Scores, Turn
from core.engines.logits import VOCAB, nll_entropy
from core.methods.differential_entropy import DifferentialEntropy, selection_order, tails
from core.policies import Candidates
from core.policies.budget import Budget
from core.policies.top import Top
from core.templates import encode, encode_reference

# float32 has ln p to 1e-7 a token at best: of a model that is sure, nothing else is left
FLOAT32, FLOAT64 = {"rtol": 1e-5, "atol": 5e-7}, {"rtol": 1e-9, "atol": 1e-12}
BLOCKS = (1, 5, 16, VOCAB)


@pytest.fixture(scope="module")
def tokens(golden: Path) -> dict[str, Any]:
    return dict(json.loads((golden / "instructdiff_token.json").read_text()))


@pytest.fixture(scope="module")
def runs(golden: Path) -> list[dict[str, Any]]:
    return list(json.loads((golden / "instructdiff_selection.json").read_text())["runs"])


@pytest.fixture(scope="module")
def table(golden: Path) -> dict[str, np.ndarray]:
    """The columns of the scores file, rows in order."""
    with (golden / "instructdiff_scores.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["row"]) for row in rows] == list(range(len(rows)))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def top(value: np.ndarray, n_tokens: np.ndarray, budget: Budget, *, crossing: bool) -> np.ndarray:
    return Top(crossing=crossing).choose(Candidates(value, n_tokens), budget).rows


def number(value: float | str) -> float:
    return float(value)  # "inf" and "nan" are strings in the files


@pytest.mark.parametrize("block", BLOCKS)
def test_nll_entropy_and_perplexity_are_those_of_the_authors(
    tokens: dict[str, Any], golden: Path, block: int
) -> None:
    with np.load(golden / "instructdiff_token_logits.npz") as archive:
        for case in tokens["token_cases"]:
            expected = case["expected"]
            start, targets = len(case["prompt_ids"]), np.array(case["full_ids"])
            rows = archive[case["logits_key"]][start - 1 : -1]  # row t predicts token t + 1
            targets = targets[start:]
            z, y = torch.from_numpy(rows), torch.from_numpy(targets)
            nll, entropy = (x.double().mean().item() for x in nll_entropy(z.split(block, 1), y))
            assert len(targets) == expected["response_tokens"], case["name"]
            assert start - 1 == expected["prompt_tokens"], case["name"]
            np.testing.assert_allclose(nll, number(expected["nll"]), **FLOAT32)
            with np.errstate(over="ignore"):
                perplexity = np.exp(np.float32(nll))
            # exp turns the absolute error of its argument into a relative one
            slack = 1e-5 * max(1.0, nll)
            np.testing.assert_allclose(perplexity, number(expected["ppl"]), rtol=slack)
            right = full_softmax(rows, targets)[1].mean()  # where the authors have NaN
            wanted = number(expected["avg_entropy"])
            np.testing.assert_allclose(entropy, right, **FLOAT32)
            np.testing.assert_allclose(entropy, right if np.isnan(wanted) else wanted, **FLOAT32)


def test_the_scored_window_is_that_of_the_authors(tokens: dict[str, Any]) -> None:
    for case in tokens["token_cases"]:
        text = f"{case['prompt']}\n{case['target']}"
        own = case["full_ids"][1:] if case["bos"] else case["full_ids"]
        tokenizer = CharTokenizer(case["bos"], dict(zip(text, own, strict=True)))
        encoded = encode_reference(case["prompt"], case["target"], tokenizer)
        assert encoded.ids.tolist() == case["full_ids"], case["name"]
        assert int(encoded.scored.sum()) == case["expected"]["response_tokens"]
        assert np.flatnonzero(encoded.scored)[0] == case["expected"]["prompt_tokens"] + 1


def test_the_first_token_is_never_scored() -> None:
    assert encode_reference("", "ab", CharTokenizer()).scored.tolist() == [False, True, True]


def test_template_instructdiff_scores_newline_and_response_without_input_or_end() -> None:
    turns = (Turn("user", "Sum it\n\n1 2"), Turn("assistant", "3"))
    [encoded] = encode([Sample(turns, "s", input="1 2")], CharTokenizer(), "instructdiff")
    text = "".join(map(chr, encoded.ids))
    assert text.endswith("### Instruction:\nSum it\n\n### Response:\n3")
    assert "".join(map(chr, encoded.ids[encoded.scored])) == "\n3"


def test_trained_tokens_are_those_of_the_authors(tokens: dict[str, Any]) -> None:
    for case in tokens["sft_label_masks"]:
        turns = (Turn("user", case["instruction"]), Turn("assistant", case["response"]))
        tokenizer = CharTokenizer(case["bos"])
        tokenizer.eos_token_id = case["eos_id"]
        [encoded] = encode([Sample(turns, "s")], tokenizer, "alpaca")
        labels = encoded.ids[encoded.scored]
        assert len(encoded) == case["n_tokens"]
        assert int((~encoded.scored).sum()) == case["n_masked"]
        assert [labels[0], labels[-1]] == [case["first_label_id"], case["last_label_id"]]
        prompt = case["source_text"]
        assert "".join(map(chr, encoded.ids[~encoded.scored][case["bos"] :])) == prompt


def scores_of(table: dict[str, np.ndarray], **params: Any) -> Scores:
    n = len(table["row"])
    return DifferentialEntropy(**params).score(
        {
            "base_nll": table["base_nll"],
            "base_entropy": table["base_avg_entropy"],
            "base_n_tokens": table["n_tokens"],
            "base_over_long": np.zeros(n, bool),
            "calibrated_nll": table["instruct_nll"],
            "calibrated_entropy": table["instruct_avg_entropy"],
            "calibrated_over_long": np.zeros(n, bool),
            "calibrated_in_warm_up": np.zeros(n, bool),
        }
    )


def test_differentials_are_those_of_the_authors(table: dict[str, np.ndarray]) -> None:
    found = scores_of(table, trim_low=0, trim_high=0)
    np.testing.assert_allclose(found.diagnostics["nll_drop"], table["diff_nll"], **FLOAT64)
    np.testing.assert_allclose(found.diagnostics["entropy_drop"], table["diff_entropy"], **FLOAT64)
    np.testing.assert_allclose(found.value, -table["diff_entropy"], **FLOAT64)


def kept_rows(table: dict[str, np.ndarray], gamma: float) -> np.ndarray:
    """Rows that outlive the filter: by NLL drop; in pool order where it is switched off."""
    low, high = tails(table["diff_nll"], np.ones(len(table["row"]), bool), gamma, gamma)
    rows = np.flatnonzero(~(low | high))
    if gamma <= 0:
        return rows
    return rows[np.argsort(table["diff_nll"][rows], kind="stable")]


def token_budget(run: dict[str, Any]) -> Budget:
    return Budget(Decimal(run["token_budget"]), share=False, unit="tokens")


def test_trimmed_tails_are_those_of_the_authors(
    table: dict[str, np.ndarray], runs: list[dict[str, Any]]
) -> None:
    for run in runs:
        kept = kept_rows(table, run["nll_reject_ratio"])
        assert kept.tolist() == run["kept_rows_sorted_by_diff_nll"], run["nll_reject_ratio"]


def test_selection_under_a_token_budget_is_that_of_the_authors(
    table: dict[str, np.ndarray], runs: list[dict[str, Any]]
) -> None:
    n_tokens = table["n_tokens"]
    for run in runs:
        ratio, gamma = run["select_ratio"], run["nll_reject_ratio"]
        assert int(n_tokens.sum()) == run["total_tokens"]
        assert int(ratio * n_tokens.sum()) == run["token_budget"]
        chosen = kept_rows(table, gamma)
        if 0 < ratio <= 1:  # any other share means all survivors, as the filter left them
            order = selection_order(table["diff_nll"], table["diff_entropy"], np.sort(chosen))
            value = np.full(len(n_tokens), np.nan)
            value[order] = -np.arange(len(order))
            chosen = top(value, n_tokens, token_budget(run), crossing=True)
        assert chosen.tolist() == run["selected_rows_in_order"], (gamma, ratio)
        assert int(n_tokens[chosen].sum()) == run["selected_tokens"]


def test_a_token_budget_that_is_met_exactly_takes_no_more() -> None:
    value, n_tokens = -np.arange(4.0), np.full(4, 5.0)
    for budget, taken in ((10, [0, 1]), (11, [0, 1, 2]), (0, [0]), (99, [0, 1, 2, 3])):
        found = top(value, n_tokens, token_budget({"token_budget": budget}), crossing=True)
        assert found.tolist() == taken


def test_method_with_the_authors_ties_and_budget_selects_their_rows(
    table: dict[str, np.ndarray], runs: list[dict[str, Any]]
) -> None:
    inside = [r for r in runs if 0 <= r["nll_reject_ratio"] < 0.5 and 0 < r["select_ratio"] <= 1]
    assert inside, "the set holds no run within the method's bounds"
    for run in inside:
        gamma = run["nll_reject_ratio"]
        found = scores_of(table, trim_low=gamma, trim_high=gamma, ties="nll_drop")
        rows = top(found.value, table["n_tokens"], token_budget(run), crossing=True)
        assert rows.tolist() == run["selected_rows_in_order"], run
