"""The kernels against numbers that ADG's and the RDS+ authors' own code produced."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.engines.pooling import (
    content_weights,
    cosines,
    mean_layers,
    or_equal,
    position_weights,
    weighted_mean,
)
from core.methods.answer_divergence import LAYERS, AnswerDivergence, mixed
from core.methods.spread import dispersion_anisotropy, spectrum

FLOAT32, FLOAT64 = {"rtol": 1e-5, "atol": 1e-7}, {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(scope="module")
def adg(golden: Path) -> dict[str, Any]:
    return dict(json.loads((golden / "adg.json").read_text()))


@pytest.fixture(scope="module")
def vectors(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "adg_embeddings.npz") as archive:
        return dict(archive)


def shape_of(gram: np.ndarray) -> dict[str, np.ndarray]:
    """The product's columns for one cloud in which every vector counts, zero ones too."""
    found = spectrum(gram[None], np.ones((1, len(gram)), bool))
    d, i = dispersion_anisotropy(found["eigenvalues"], np.array([len(gram)]))
    return found | {"dispersion": d, "anisotropy": i}


def test_cosines_are_those_of_the_authors(
    adg: dict[str, Any], vectors: dict[str, np.ndarray]
) -> None:
    for case in adg["metric_cases"]:
        found = cosines(vectors[case["name"]])
        assert found.shape == (case["K"], case["K"])
        np.testing.assert_allclose(found, case["gram"], **FLOAT64, err_msg=case["name"])


def test_dispersion_and_anisotropy_are_those_of_the_authors(
    adg: dict[str, Any], vectors: dict[str, np.ndarray]
) -> None:
    method = AnswerDivergence(weight=adg["weight_sed"])
    np.testing.assert_allclose(1 - method.weight, adg["weight_cov_trace"], **FLOAT64)
    for case in adg["metric_cases"]:
        for gram in (np.array(case["gram"]), cosines(vectors[case["name"]])):
            found = shape_of(gram)
            d, i = found["dispersion"], found["anisotropy"]
            np.testing.assert_allclose(d, case["D_cov_trace"], **FLOAT64, err_msg=case["name"])
            np.testing.assert_allclose(i, case["I_sed"], **FLOAT64, err_msg=case["name"])


def test_scores_are_those_of_the_authors(adg: dict[str, Any]) -> None:
    method = AnswerDivergence(weight=adg["weight_sed"])
    for case in adg["metric_cases"]:
        x = shape_of(np.array(case["gram"]))
        counts = {"n_answers": np.array([case["K"]]), "over_long": np.zeros(1, bool)}
        zeros = dict.fromkeys(("answer_tokens", "answers_ended", "bin"), np.zeros(1))
        value = method.score(x | counts | zeros).value
        for name in ("combined", "combined_qwen"):
            np.testing.assert_allclose(value, case[name], **FLOAT64, err_msg=case["name"])


def test_further_columns_are_those_of_the_authors(adg: dict[str, Any]) -> None:
    names = {
        "Sc.SED": "anisotropy",
        "Sc.H_spec": "spectral_entropy",
        "S.SEC": "top_share",
        "S.mean_cos": "mean_cosine",
        "Sc.cov_trace": "dispersion",
        "LOOD_var": "instability",
    }
    for case in adg["metric_cases"]:
        found, wanted = shape_of(np.array(case["gram"])), case["qwen_extra"]
        # ratios of spreads: the rounding of cosines shows in them where vectors hardly differ
        noise = 1e-15 / max(float(wanted["Sc.cov_trace"]), 1e-12)
        for theirs, ours in names.items():
            text = f"{case['name']} {theirs}"
            np.testing.assert_allclose(
                found[ours], float(wanted[theirs]), rtol=1e-9, atol=1e-11 + noise, err_msg=text
            )
        # l1 / l2 is mostly rounding where l2 is about 1e-17: l2 / l1 is compared
        np.testing.assert_allclose(
            1 / found["eigenvalue_ratio"], 1 / float(wanted["Sc.eig_ratio_12"]), **FLOAT64
        )


def test_scores_of_the_selections_are_those_of_the_authors(adg: dict[str, Any]) -> None:
    for case in adg["selections"]:
        parts = [np.array(case[name]) for name in ("cov_trace", "sed")]
        usable = np.ones(case["n"], bool)
        d, i = (mixed(part, usable, "raw") for part in parts)
        found = adg["weight_cov_trace"] * d + adg["weight_sed"] * i
        np.testing.assert_allclose(found, case["combined"], **FLOAT64)


def test_weights_of_tokens_are_those_of_the_authors(adg: dict[str, Any]) -> None:
    for case in (adg["content_weights"], *adg["pooling"]):
        found = content_weights(case["token_strings"])
        assert found.tolist() == [np.float32(w) for w in case["weights"]]


def test_pooled_vectors_are_those_of_the_authors(adg: dict[str, Any], golden: Path) -> None:
    layers = LAYERS[AnswerDivergence().layers]
    with np.load(golden / "adg_pooling.npz") as archive:
        for case in adg["pooling"]:
            hidden = torch.from_numpy(archive[f"{case['name']}_hidden"])[:, None]
            weights = or_equal(content_weights(case["token_strings"]))
            found = weighted_mean(mean_layers(hidden, layers), torch.from_numpy(weights)[None])
            np.testing.assert_allclose(found[0], archive[f"{case['name']}_vec"], **FLOAT32)


def test_position_weighted_vectors_are_those_of_the_authors_in_any_padding(golden: Path) -> None:
    with np.load(golden / "targeted_rds_pooling.npz") as archive:
        hidden = [archive[f"hidden{k}"] for k in range(len(archive["mean"]))]
        longest = max(map(len, hidden))
        for width in (longest, longest + 3):
            texts = np.full((len(hidden), width, hidden[0].shape[1]), 7.0, np.float32)
            weights = {name: np.zeros((len(hidden), width), np.float32) for name in ("w", "m")}
            for row, states in enumerate(hidden):
                texts[row, : len(states)] = states
                weights["w"][row, : len(states)] = position_weights(len(states))
                weights["m"][row, : len(states)] = 1
            for short, name in (("w", "weighted_mean"), ("m", "mean")):
                found = weighted_mean(torch.from_numpy(texts), torch.from_numpy(weights[short]))
                np.testing.assert_allclose(found, archive[name], **FLOAT32)
