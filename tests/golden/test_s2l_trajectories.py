"""Loss trajectories against numbers that S2L's own code produced (any set of this layout)."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import CharTokenizer

from core.domain import Sample, Turn
from core.methods.loss_trajectory import LossTrajectory
from core.templates import encode
from core.trajectories import thinned

THINNED = "processed_num_loss_ckpts_"


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "s2l_trajectories.npz") as archive:
        return {name: archive[name] for name in archive.files}


def test_trajectories_are_those_of_the_authors(arrays: dict[str, np.ndarray]) -> None:
    raw = arrays["raw_losses"].astype(np.float64)
    assert np.isnan(raw).any(), "the set has no sample without a loss"
    zeroed = np.where(np.isnan(raw), 0.0, raw)
    np.testing.assert_allclose(thinned(zeroed, raw.shape[1]), arrays["processed_all"], rtol=1e-6)
    tried = [name for name in arrays if name.startswith(THINNED)]
    assert tried
    for name in tried:
        found = thinned(zeroed, int(name.removeprefix(THINNED)))
        assert found.shape == arrays[name].shape, name
        np.testing.assert_allclose(found, arrays[name], rtol=1e-6, err_msg=name)


def test_the_method_clusters_what_the_authors_cluster(arrays: dict[str, np.ndarray]) -> None:
    """With `unscored=zero` a sample's distance is that to its cluster's mean in their array."""
    raw = arrays["raw_losses"].astype(np.float64)
    n = len(raw)
    x = {
        "trajectory": raw,
        "n_tokens": np.ones(n),
        "over_long": np.zeros(n, bool),
        "id_hash": np.arange(n),
    }
    for name in [name for name in arrays if name.startswith("processed_")]:
        points = arrays[name].astype(np.float64)
        used = int(name.removeprefix(THINNED)) if name.startswith(THINNED) else 64
        scores = LossTrajectory(unscored="zero", clusters=7, checkpoints_used=used).score(x)
        assert scores.group is not None
        own = range(scores.group.max() + 1)
        centres = np.stack([points[scores.group == k].mean(0) for k in own])
        distance = np.linalg.norm(points - centres[scores.group], axis=1)
        np.testing.assert_allclose(-scores.value, distance, rtol=1e-6, atol=1e-9)
        left_out = LossTrajectory(clusters=7, checkpoints_used=used).score(x)
        broken = np.isnan(thinned(raw, used)).any(1)
        np.testing.assert_array_equal(np.isnan(left_out.value), broken)


def test_trained_tokens_are_those_of_the_authors(golden: Path) -> None:
    cases = json.loads((golden / "s2l.json").read_text())["label_masks"]
    assert cases
    for case in cases:
        given = case["input"]
        asked = f"{case['instruction']}\n\n{given}" if given else case["instruction"]
        turns = (Turn("user", asked), Turn("assistant", case["output"]))
        [encoded] = encode([Sample(turns, "s", given)], CharTokenizer(), "alpaca_input")
        text = "".join(map(chr, encoded.ids))
        assert len(encoded) == case["n_tokens"]
        assert int((~encoded.scored).sum()) == case["n_masked"]
        assert text == f"{case['source_text']}{case['output']}\x03"
        scored = "".join(map(chr, encoded.ids[encoded.scored]))
        assert scored == f"{case['output']}\x03"
