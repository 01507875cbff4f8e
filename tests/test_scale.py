"""What must hold so that a million samples stay quick: nothing is made a million times in Python,
and what is kept in memory is bounded."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from test_contract import LIGHT, NAMES, RECORDS, make, spec_of

from benchmarks import invented, stores
from core import loaded, rescoring, runs, store
from core.domain import Scores, id_hash
from core.ids import Ids
from core.loaded import Shown
from core.policies.top import ranked
from core.policies.trim import tails
from core.recipe import Recipe
from core.rules import Range
from core.selection import load, select
from core.store import columns as shelves
from core.store import maps, pools, views
from core.store import runs as stored
from core.store.columns import Columns, Shelf

MANY = 200_000


@pytest.fixture(params=NAMES)
def run(request):
    make(RECORDS)
    return runs.execute(spec_of(request.param, **LIGHT.get(request.param, {}))).run


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A run of 200,000 samples, without their texts."""
    world = invented.latent(MANY)
    with store.connect(write=True) as con:
        con.execute(
            "INSERT INTO samples SELECT 'many', range, left(sha256(range::VARCHAR), 20),"
            " 'source ' || range % 7, 2, 100, 'Say it', '{}' FROM range(?)",
            [MANY],
        )
        con.execute("INSERT INTO pools VALUES ('many', 'pool', 'print', ?, now())", [MANY])
        pool = pools.get_pool(con, "many")
    query = replace(pool, name="none")
    method, params, x = next(stores.measured(world))
    stores.add_run(pool, query, method, params, x, id_hash(pool.sample_ids), world)
    with store.connect() as con:
        return stored.newest_run(con, "many", method)


def test_a_run_as_it_stands_has_the_scores_that_its_method_gives(run):
    found = load(run.run_id).scores({})
    with store.connect() as con:
        columns = stored.run_columns(con, run.run_id)
    right = rescoring.rescore(run, columns, {})
    np.testing.assert_array_equal(found.value, right.value)
    assert (found.group is None) == (right.group is None)
    if right.group is not None:
        np.testing.assert_array_equal(found.group, right.group)
    assert list(found.excluded) == list(right.excluded)
    assert found.reasons() == right.reasons()
    assert (found.similarity is None) == (right.similarity is None)
    if right.similarity is not None:
        np.testing.assert_array_equal(found.similarity, right.similarity)


def test_columns_are_those_of_the_store_whichever_are_asked_for_first(run):
    with store.connect() as con:
        right = stored.run_columns(con, run.run_id)
    del right["position"]
    here = load(run.run_id).columns
    assert set(here) == set(right)
    for name in reversed(list(here)):
        np.testing.assert_array_equal(here[name], right[name], strict=True)
        assert name in here
    with pytest.raises(KeyError):
        here["nothing"]
    assert "nothing" not in here


def test_what_is_shared_cannot_be_changed(run):
    here = load(run.run_id)
    for array in (here.columns["value"], here.source, here.id_hash):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_the_first_few_are_those_of_a_full_sort_with_ties_in_pool_order(digits):
    rng = np.random.default_rng(digits)
    value = np.round(rng.normal(size=400), digits)
    value[::7] = np.nan
    value[3], value[11] = np.inf, -np.inf
    order = np.argsort(-value, kind="stable")
    order = order[~np.isnan(value[order])]
    for most in (None, 0, 1, 37, 200, len(order) - 1, len(order), 900):
        np.testing.assert_array_equal(ranked(value, most), order[:most])


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_tails_are_the_ends_of_a_stable_sort(digits):
    rng = np.random.default_rng(digits)
    value = np.round(rng.normal(size=300), digits)
    usable = rng.random(300) < 0.8
    rows = np.flatnonzero(usable)
    order = rows[np.argsort(value[rows], kind="stable")]
    for low, high in ((0, 0), (0.1, 0.1), (0.003, 0.4), (0.49, 0.49)):
        k_low, k_high = int(len(rows) * low), int(len(rows) * high)
        cut_low, cut_high = tails(value, usable, low, high)
        assert set(np.flatnonzero(cut_low)) == set(order[:k_low])
        assert set(np.flatnonzero(cut_high)) == set(order[len(order) - k_high :])


def test_a_shelf_lets_go_of_what_was_not_asked_for_since_long():
    shelf = Shelf(room=3 * 80)
    for name in "abc":
        shelf.put(("here", "table", name), np.zeros(10))
    assert shelf.get(("here", "table", "a")) is not None
    shelf.put(("here", "table", "d"), np.zeros(10))
    assert shelf.get(("here", "table", "b")) is None
    assert all(shelf.get(("here", "table", name)) is not None for name in "acd")
    shelf.put(("here", "table", "e"), np.zeros(31))
    assert all(shelf.get(("here", "table", name)) is None for name in "abcde")


def test_columns_that_find_no_room_are_read_again(run, monkeypatch):
    monkeypatch.setattr(shelves, "SHELF", Shelf(room=0))
    here = load(run.run_id).columns
    np.testing.assert_array_equal(here["value"], here["value"])
    assert here["value"] is not here["value"]


def test_own_columns_stand_before_the_stored_ones(run):
    here = load(run.run_id)
    own = np.arange(run.n)
    shown = Shown({"score": own, "value": own}, here.columns)
    assert shown["score"] is own
    assert shown["value"] is own
    assert list(shown) == [*here.columns, "score"]
    assert len(shown) == len(here.columns) + 1


def test_a_live_knob_keeps_only_the_columns_that_it_changes(many):
    here = load(many.run_id)
    assert here.scores({}).diagnostics == {}
    assert here.scores({"trim_low": 0.3}).diagnostics == {}
    recipe = Recipe(pool="many", method=many.method, run_id=many.run_id, params={"trim_low": 0.3})
    found = select(recipe, here)
    with store.connect() as con:
        columns = stored.run_columns(con, many.run_id)
    del columns["position"]
    right = rescoring.rescore(many, columns, {"trim_low": 0.3})
    np.testing.assert_array_equal(found.columns["score"], right.value)
    for name, column in right.diagnostics.items():
        np.testing.assert_array_equal(found.columns[name], column)


def test_runs_of_one_pool_share_ids_and_sources(many):
    again = load(many.run_id)
    assert again.ids is load(many.run_id).ids
    assert len(loaded._PLACES) <= loaded.POOLS


def test_ids_sources_and_counts_from_codes_are_those_from_names(many):
    here = load(many.run_id)
    with store.connect() as con:
        frame = views.pool_rows(con, "many")
        sizes = views.sources(con, "many").set_index("source")["n"]
    assert list(here.ids[:1000]) == frame["sample_id"].tolist()[:1000]
    names = np.array(here.sources)[here.source]
    np.testing.assert_array_equal(names, frame["source"].to_numpy(str))
    counted = np.bincount(here.source, minlength=len(here.sources))
    assert dict(zip(here.sources, counted.tolist(), strict=True)) == sizes.to_dict()
    np.testing.assert_array_equal(here.id_hash[:500], id_hash(list(here.ids[:500])))


def test_a_threshold_on_many_samples_takes_little_memory(many):
    recipe = Recipe(pool="many", method=many.method, run_id=many.run_id)
    here = load(many.run_id)
    select(recipe, here)
    tracemalloc.start()
    try:
        for step in range(12):
            rule = Range(column="entropy_drop", low=step / 100)
            found = select(recipe.model_copy(update={"rules": (rule,)}), here)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.subset.chosen) == MANY // 10
    assert peak < 100 * MANY  # bytes: no list of objects, no copy of all columns
    assert kept < 40 * MANY


def test_reasons_of_many_samples_are_the_first_that_holds():
    rng = np.random.default_rng(0)
    masks = {name: rng.random(300) < 0.3 for name in ("one", "two", "three")}
    right = [next((n for n, mask in masks.items() if mask[i]), None) for i in range(300)]
    assert Scores(np.zeros(300), excluded=masks).reasons() == right


def test_the_hash_of_ids_is_that_of_their_digits():
    ids = [f"{k:020x}" for k in np.random.default_rng(0).integers(0, 2**62, 50).tolist()]
    ids += ["f" * 20, "0123456789abcdef0123"]
    np.testing.assert_array_equal(Ids(ids).hash(), id_hash(ids))


def test_a_map_read_column_by_column_is_the_map(tmp_path):
    world = invented.latent(300)
    with store.connect(write=True) as con:
        pool = stores_pool(con, 300)
    stores.add_map(pool, "answers", invented.islands(world, 0))
    with store.connect() as con:
        laid = maps.newest_map(con, "few", "answers")
        right, found = maps.map_rows(con, laid.map_id), maps.columns(con, laid.map_id)
    assert isinstance(found, Columns)
    assert list(found) == list(right)
    for name, column in right.items():
        np.testing.assert_array_equal(found[name], column, strict=True)


def stores_pool(con, n):
    con.execute(
        "INSERT INTO samples SELECT 'few', range, left(sha256(range::VARCHAR), 20), 's', 2, 9,"
        " 'Say it', '{}' FROM range(?)",
        [n],
    )
    con.execute("INSERT INTO pools VALUES ('few', 'pool', 'print', ?, now())", [n])
    return pools.get_pool(con, "few")
