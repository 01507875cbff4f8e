"""The bundled demo: what opening it gives is what scoring it gave."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr
from test_cli import call, done

from core import blocks, config, demo, pools, runs, store
from core.demo import arrays, bundle, manifest
from core.domain import RunSpec
from core.engines.hardware import choose
from core.errors import ManifestError, PoolError, RunError
from core.methods import catalogue
from core.selection import select
from core.store import maps, views
from core.store import runs as stored

DAMAGE = {
    "gone": lambda path: path.unlink(),
    "damaged": lambda path: path.write_bytes(path.read_bytes()[:-9]),
}


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(manifest.FOLDER, tmp_path / "bundle")


def tables():
    """Every row of the store but the times, as text."""
    with store.connect() as con:
        names = [n for (n,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        rows = {}
        for name in sorted(names):
            frame = con.execute(f'SELECT * FROM "{name}"').df()
            frame = frame.drop(columns=[c for c in frame if c.endswith("_at")])
            rows[name] = sorted(map(str, frame.itertuples(index=False)))
        return rows


def test_the_bundle_is_small_whole_and_holds_every_method_and_three_maps():
    held = manifest.read()
    assert sum(path.stat().st_size for path in manifest.FOLDER.iterdir()) <= 3_000_000
    assert {p.name for p in manifest.FOLDER.iterdir()} == {manifest.NAME, *held.files}
    assert {c.run.method for c in held.runs} == {
        n for n, cls in catalogue().items() if cls.measures
    }
    assert [row.of for row in held.maps] == ["instructions", "gradients", "answers"]


def test_every_run_of_the_opened_bundle_selects_what_the_manifest_says():
    assert bundle.load()
    for chosen in manifest.read().runs:
        found = select(chosen.recipe())
        rows = found.subset.chosen.tolist()
        assert tuple(found.ids[row] for row in rows) == chosen.selected, chosen.run.method
        assert len(rows) == 16


def test_opening_again_changes_nothing():
    assert bundle.load()
    before = tables()
    assert not bundle.load()
    assert tables() == before


def test_a_bundle_made_of_the_opened_bundle_is_the_same(tmp_path):
    bundle.load()
    right, again = manifest.read(), bundle.make(folder=tmp_path / "again")
    assert (again.pools, again.runs, again.maps) == (right.pools, right.runs, right.maps)
    assert (again.parts, again.left_out) == (right.parts, right.left_out)
    assert again.files.keys() == right.files.keys()
    for name in right.files:
        if not name.startswith("pool-"):
            there, here = (arrays.read(f / name) for f in (manifest.FOLDER, tmp_path / "again"))
            assert there.keys() == here.keys()
            for column, array in there.items():
                np.testing.assert_array_equal(here[column], array, strict=True)


def test_the_answers_of_every_sample_come_with_the_bundle():
    bundle.load()
    with store.connect() as con:
        run = stored.newest_run(con, "demo", "answer_divergence")
        ids = stored_ids(con)
    for need, column in (("answers", "text"), ("vectors", "vector")):
        folder = config.folder("blocks") / run.card["parts"][need]
        found = blocks.gather(folder, ids, column)[column]
        assert found.shape[:2] == (160, run.params["k"])


def stored_ids(con):
    return con.execute("SELECT sample_id FROM samples WHERE pool = 'demo'").fetchnumpy()[
        "sample_id"
    ]


def test_a_demo_that_was_scored_already_is_left_as_it_is():
    pools.import_files([demo.FOLDER / "pool.jsonl"], "demo")
    runs.execute(RunSpec("demo", "length", model="fake"))
    before = tables()
    assert not bundle.load()
    assert tables() == before


def test_a_demo_that_was_imported_and_never_scored_gets_its_scores():
    pools.import_files([demo.FOLDER / "pool.jsonl"], "demo")
    assert bundle.load()
    with store.connect() as con:
        assert len(views.runs(con)) == len(manifest.read().runs)
        assert maps.newest_map(con, "demo", "answers").n == 160


def test_another_pool_of_the_same_name_is_not_touched(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"instruction": "Hello", "output": "Hi"}), "utf8")
    pools.import_files([path], "demo")
    before = tables()
    with pytest.raises(PoolError, match="a pool by this name holds other samples"):
        bundle.load()
    assert tables() == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bundle_is_one_sentence_and_leaves_no_store(copy, damage):
    for path in sorted(copy.iterdir()):
        kept = path.read_bytes()
        DAMAGE[damage](path)
        with pytest.raises(ManifestError) as caught:
            bundle.load(copy)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
        path.write_bytes(kept)
    assert not config.store_path().exists()
    assert bundle.load(copy)


def test_an_unscored_demo_cannot_be_bundled(tmp_path):
    pools.import_files([demo.FOLDER / "pool.jsonl"], "demo")
    pools.import_files([demo.FOLDER / "query.jsonl"], demo.QUERY, "query")
    with pytest.raises(RunError, match="there is nothing to bundle"):
        bundle.make(folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_not_a_whole_demo_is_not_bundled_from_the_command_line():
    code, _, err = call("demo", "--bundle", "--samples", "20")
    assert code == 2
    assert "--bundle takes all 160 samples" in err


def test_the_app_on_the_demo_needs_no_model(monkeypatch):
    class Nothing:
        url = "nowhere"

        def wait(self):
            with store.connect() as con:
                assert stored.has_run(con, "demo", "differential_entropy")

    monkeypatch.setattr("core.app_server.start", lambda *_: Nothing())
    assert done("app", "--demo") == ""
    assert not (config.cache_dir() / "models").exists()


@pytest.fixture
def empty_app():
    from streamlit.testing.v1 import AppTest

    return AppTest.from_file(str(config.ROOT / "app.py"), default_timeout=60)


def test_the_empty_app_opens_the_demo_by_a_button(empty_app):
    page = empty_app.run()
    page.button(key="frame_demo").click().run()
    assert not page.exception
    assert not page.error
    assert any("**16** of 160 kept" in text.value for text in page.markdown)


def test_the_empty_app_says_in_one_sentence_that_the_bundle_is_damaged(
    empty_app, copy, monkeypatch
):
    (copy / manifest.NAME).unlink()
    monkeypatch.setattr(bundle.load, "__defaults__", (copy,))
    page = empty_app.run()
    page.button(key="frame_demo").click().run()
    assert not page.exception
    assert [error.value for error in page.error] == [
        f"{copy / manifest.NAME}: is not the manifest of a bundle. Bring it back from the"
        " repository, or score the demo: sftlens demo."
    ]
    assert not config.store_path().exists()


@pytest.mark.model
@pytest.mark.parametrize("method", ["perplexity", "answer_entropy"])
def test_a_method_that_is_scored_again_ranks_as_the_bundle_does(embedded_cache, method):
    bundled = next(c.run for c in manifest.read().runs if c.run.method == method)
    device, _, dtype = bundled.card["precision"].partition("-")
    pools.import_files([demo.FOLDER / "pool.jsonl"], "demo")
    spec = RunSpec("demo", method, bundled.params, device=device, dtype=dtype)
    run = runs.execute(spec).run
    with store.connect() as con:
        found = stored.run_columns(con, run.run_id)["value"]
    right = arrays.read(manifest.FOLDER / f"run-{bundled.run_id}.parquet")["value"]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(right))
    if run.run_id == bundled.run_id and choose().key == bundled.card["precision"]:
        np.testing.assert_array_equal(np.argsort(-found), np.argsort(-right))
    scored = np.isfinite(right)
    assert spearmanr(found[scored], right[scored]).statistic > 0.99
