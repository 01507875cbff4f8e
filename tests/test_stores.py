"""Invented stores are whole, and every method, policy and rule works on them."""

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import invented, stores
from core import store
from core.domain import id_hash
from core.engines.fake import FakeEngine
from core.methods import catalogue
from core.recipe import Recipe
from core.rules import Among, Lasso, Range
from core.selection import select
from core.store import maps, pools, views
from core.store import runs as stored

N = 1_500
FIVE = (
    *("differential_entropy", "answer_divergence", "answer_entropy"),
    *("gradient_similarity", "loss_trajectory"),
)


@pytest.fixture
def made(tmp_path):
    done = CliRunner().invoke(stores.main, ["synthetic", str(tmp_path / "cache"), "--samples", N])
    assert done.exit_code == 0, done.output
    with store.connect() as con:
        return pools.get_pool(con, "synthetic")


def newest(method):
    with store.connect() as con:
        return stored.newest_run(con, "synthetic", method)


def test_the_invented_pool_is_read_back_as_it_was_made(made):
    assert len(made) == N
    world = invented.latent(N)
    right = [sample for batch in invented.samples(world) for sample in batch]
    with store.connect() as con:
        found = pools.read_samples(con, "synthetic", made.sample_ids)
        sources = set(views.sources(con, "synthetic")["source"])
    assert [s.turns for s in found] == [s.turns for s in right]
    assert sources == set(invented.SOURCES)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("method", FIVE)
def test_every_method_has_an_invented_run_that_its_own_policy_selects_from(method):
    run = newest(method)
    policy = catalogue()[method].policy
    recipe = Recipe(pool="synthetic", method=method, run_id=run.run_id, policy=policy, budget="5%")
    found = select(recipe)
    assert 0 < len(found.subset.chosen) <= N // 20
    assert sum(found.subset.counts().values()) == N
    for name in catalogue()[method].columns:
        assert np.isfinite(found.columns[name]).any(), name


def test_numbers_of_the_store_belong_to_their_samples(made):
    run = newest("differential_entropy")
    with store.connect() as con:
        found = stored.run_columns(con, run.run_id)
    np.testing.assert_array_equal(found["id_hash"], id_hash(made.sample_ids))
    np.testing.assert_array_equal(found["n_tokens"], invented.latent(N).n_tokens)


def test_a_map_of_each_kind_takes_lassos_and_has_neighbours_of_the_same_island(made):
    run = newest("length")
    world = invented.latent(N)
    for of in ("instructions", "gradients", "answers"):
        with store.connect() as con:
            laid = maps.newest_map(con, "synthetic", of)
            rows = maps.map_rows(con, laid.map_id)
        assert (world.island[rows["neighbours"][:, 0]] == world.island).mean() > 0.9
        x, y = float(rows["x"][0]), float(rows["y"][0])
        square = ((x - 1, y - 1), (x + 1, y - 1), (x + 1, y + 1), (x - 1, y + 1))
        recipe = Recipe(
            pool="synthetic",
            method="length",
            run_id=run.run_id,
            rules=(Lasso(map_id=laid.map_id, polygon=square),),
        )
        inside = (np.abs(rows["x"] - x) < 1) & (np.abs(rows["y"] - y) < 1)
        assert select(recipe).subset.passed[0].sum() == inside.sum() > 0


@pytest.mark.usefixtures("made")
def test_columns_of_the_samples_take_rules():
    run = newest("length")
    rules = (Among(column="source", values=("code",)), Range(column="meta.level", low=3))
    own = {"pool": "synthetic", "method": "length", "run_id": run.run_id}
    found = select(Recipe(**own, rules=rules))
    code = invented.latent(N).source == invented.SOURCES.index("code")
    np.testing.assert_array_equal(found.subset.passed[0], code)
    np.testing.assert_array_equal(found.subset.passed[1], 1 + np.arange(N) % 5 >= 3)


def test_real_samples_are_imported_scored_and_mapped(tmp_path, shared_data, monkeypatch):
    monkeypatch.setattr(FakeEngine, "block_tokens", FakeEngine.block_tokens)  # put back at the end
    arguments = ["real", str(tmp_path / "cache"), "--data", str(shared_data), "--limit", "25"]
    done = CliRunner().invoke(stores.main, arguments)
    assert done.exit_code == 0, done.output
    with store.connect() as con:
        scored = views.runs(con)
        laid = [maps.newest_map(con, "real", of) for of in ("instructions", "gradients", "answers")]
    assert set(scored.loc[scored["pool"] == "real", "method"]) >= set(FIVE)
    assert "not an embedder" in laid[0].card["source"]["vectors"]
    assert {row.n for row in laid} == {100}
