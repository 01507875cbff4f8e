"""Maps in the store, and the two commands that make and read them."""

import json
import shutil

import numpy as np
import pytest
from calls import jsonl
from test_cli import call, done, refused

from core import config, duplicates, mapping, pools, runs, store
from core.demo import FOLDER
from core.domain import RunSpec
from core.errors import MethodError, PoolError, RunError
from core.maps import FLOORS, Map
from core.neighbours import Links
from core.store import maps as stored
from core.store.maps import Of, StoredMap
from core.store.pools import get_pool
from core.store.runs import Run

ID = "0123456789abcdef0123"


def links(*pairs: tuple[int, int, float], floor: float = 0.8) -> Links:
    a, b, similarity = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Links(np.array(a, np.int32), np.array(b, np.int32), np.array(similarity, float), floor)


def small_map(n: int = 4) -> Map:
    rng = np.random.default_rng(n)
    coordinates = rng.normal(size=(n, 2)).astype(np.float32)
    neighbours = np.full((n, 10), -1, np.int32)
    cosines = np.full((n, 10), np.nan, np.float32)
    neighbours[:, 0] = (np.arange(n) + 1) % max(n, 1)
    cosines[:, 0] = rng.uniform(size=n)
    if n:
        coordinates[-1] = np.nan
    found = links((0, 1, 0.97), (1, 2, 0.85)) if n > 2 else links()
    cluster = np.where(np.arange(n) == n - 1, -1, 0)
    duplicates = {"cosine": found, "minhash": links(*([(0, 2, 0.5)] * (n > 2)), floor=0.5)}
    return Map(coordinates, cluster, ("sea, tea",), neighbours, cosines, duplicates, "a note")


def row(map_id: str = ID, pool: str = "small", n: int = 4, **changes: object) -> StoredMap:
    with store.connect() as con:
        fingerprint = get_pool(con, pool).fingerprint
    fields = {"of": "instructions", "seed": 3, "card": {"source": {"key": "k"}}, "seconds": 0.5}
    fields |= {"labels": ("sea, tea",), "note": "a note"} | changes
    return StoredMap(map_id, pool, fingerprint, n=n, **fields)  # type: ignore[arg-type]


@pytest.fixture
def small(tmp_path) -> tuple[str, ...]:
    records = [{"instruction": f"Say {k}", "output": f"{k}"} for k in range(4)]
    return pools.import_files([jsonl(tmp_path / "small.jsonl", records)], "small")[1].sample_ids


def test_a_map_comes_back_as_it_went_in(small: tuple[str, ...]) -> None:
    made, about = small_map(), row()
    for _ in range(2):  # the second time changes nothing
        with store.connect(write=True) as con:
            stored.add_map(con, about, small, made)
    with store.connect() as con:
        assert stored.get_map(con, ID) == stored.newest_map(con, "small") == about
        found = stored.map_rows(con, ID)
        by_cosine, by_minhash = (stored.map_links(con, ID, by) for by in FLOORS)
        ids = con.execute(f"SELECT sample_id FROM map_{ID} ORDER BY position").fetchall()
    assert [i for (i,) in ids] == list(small)
    np.testing.assert_array_equal(np.stack([found["x"], found["y"]], 1), made.coordinates)
    for name in ("cluster", "neighbours", "cosines"):
        np.testing.assert_array_equal(found[name], getattr(made, name))
    assert (found["x"].dtype, found["neighbours"].dtype) == (np.float32, np.int32)
    for got, expected in ((by_cosine, "cosine"), (by_minhash, "minhash")):
        assert (got.a.tolist(), got.b.tolist(), got.similarity.tolist(), got.floor) == (
            made.duplicates[expected].a.tolist(),
            made.duplicates[expected].b.tolist(),
            made.duplicates[expected].similarity.tolist(),
            made.duplicates[expected].floor,
        )


def test_the_newest_map_is_that_of_the_pool_as_it_is_now(small: tuple[str, ...], tmp_path) -> None:
    newer = row("a" * 20, seed=4)
    for each in (row(), newer, row("b" * 20, of="answers")):
        with store.connect(write=True) as con:
            stored.add_map(con, each, small, small_map())
    with store.connect() as con:
        assert stored.newest_map(con, "small") == newer
        assert stored.newest_map(con, "small", "answers").map_id == "b" * 20
        with pytest.raises(
            RunError, match=r"^small: there is no map of the gradients .* map small"
        ):
            stored.newest_map(con, "small", "gradients")
        with pytest.raises(PoolError, match=r"^nothing: there is no pool by this name"):
            stored.newest_map(con, "nothing")
    more = jsonl(tmp_path / "more.jsonl", [{"instruction": "Say 5", "output": "5"}])
    pools.import_files([more], "small")
    with store.connect() as con, pytest.raises(RunError, match="as it is now"):
        stored.newest_map(con, "small")


@pytest.mark.parametrize("wrong", ["", "x; DROP TABLE maps", ID[:19], ID.upper()])
def test_only_our_own_ids_reach_a_statement(small: tuple[str, ...], wrong: str) -> None:
    about = row(wrong)
    with store.connect(write=True) as con:
        for use in (
            lambda: stored.map_rows(con, wrong),
            lambda: stored.map_links(con, wrong, "cosine"),
            lambda: stored.add_map(con, about, small, small_map()),
        ):
            with pytest.raises(RunError, match="is not a map id"):
                use()


def test_groups_follow_the_threshold_from_what_is_stored(small: tuple[str, ...]) -> None:
    about = row()
    with store.connect(write=True) as con:
        stored.add_map(con, about, small, small_map())
    assert duplicates.groups("small").tolist() == [0, 0, -1, -1]
    assert duplicates.groups("small", 0.85).tolist() == [0, 0, 0, -1]
    assert duplicates.groups("small", 0.98).tolist() == [-1] * 4
    assert duplicates.groups("small", 0.5, "minhash").tolist() == [0, -1, 0, -1]
    with pytest.raises(MethodError, match=r"^threshold: is out of bounds\. Got 0\.4"):
        duplicates.groups("small", 0.4, "minhash")


def test_members_of_groups_come_largest_first_and_representative_first() -> None:
    groups = duplicates.members(np.array([-1, 1, 2, 1, 2, 2, -1, 7, 7]))
    assert [g.tolist() for g in groups] == [[2, 4, 5], [1, 3], [7, 8]]
    assert duplicates.members(np.array([-1, -1])) == []


def test_a_map_is_made_from_any_vectors_and_only_once(small: tuple[str, ...]) -> None:
    with store.connect() as con:
        pool = get_pool(con, "small")
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    source = {"run": "f" * 20}
    first = mapping.make_from(pool, "gradients", vectors, np.ones(4, bool), source)
    nonsense = np.zeros((4, 3))  # not looked at: the map is there
    assert mapping.make_from(pool, "gradients", nonsense, np.ones(4, bool), source) == first
    other = mapping.make_from(pool, "gradients", vectors, np.ones(4, bool), source | {"x": 1})
    assert other.map_id != first.map_id
    assert first.card["source"] == source
    assert {"umap-learn", "numba", "sftlens"} <= set(first.card["versions"])
    with store.connect() as con:
        assert stored.newest_map(con, "small", "gradients") == other


def test_the_planted_near_duplicates_of_the_demo_are_found() -> None:
    pools.import_files([FOLDER / "pool.jsonl"], "demo")
    lines = (FOLDER / "pool.jsonl").read_text("utf8").splitlines()
    planted = [k for k, line in enumerate(lines) if json.loads(line)["flaw"] == "near-duplicate"]
    out = done("map", "demo", "--seed", "0")
    assert "160 samples, 9 clusters" in out
    code, again, err = call("map", "demo")
    assert (code, again, err) == (0, out, "")  # nothing is measured or mapped again
    groups = duplicates.members(duplicates.groups("demo", 0.89))
    assert sorted(group.tolist()[1] for group in groups) == planted
    assert all(len(group) == 2 for group in groups)
    shown = done("duplicates", "demo", "--threshold", "0.89")
    assert shown.splitlines()[-1] == "4 groups; 4 samples repeat another"
    assert "Why do onions make us cry?" in shown
    assert len(duplicates.members(duplicates.groups("demo", 0.5, "minhash"))) == 3
    with store.connect() as con:
        made = stored.newest_map(con, "demo")
        places = stored.map_rows(con, made.map_id)
    assert made.card["source"]["checkpoint"]["name"] == "minilm"
    assert np.isfinite(places["x"]).all()
    assert set(places["cluster"]) == set(range(len(made.labels)))
    assert str(config.cache_dir()) not in json.dumps(made.card)


def test_mistakes_are_one_line(small: tuple[str, ...]) -> None:
    assert "there is no pool by this name" in refused("map", "nothing")
    assert "no gradient_similarity run" in refused("map", "small", "--of", "gradients")
    assert "Make it first: sftlens map small" in refused("duplicates", "small")
    assert "there is no pool by this name" in refused("duplicates", "nothing")
    refused("map", "small", "--of", "wishes")


@pytest.mark.parametrize("of", ["gradients", "answers"])
def test_a_map_of_a_run_whose_parts_are_gone_measures_them_again(
    of: Of, small: tuple[str, ...]
) -> None:
    query = jsonl(config.cache_dir().parent / "q.jsonl", [{"instruction": "Q", "output": "A"}])
    pools.import_files([query], "query", "query")
    spec = RunSpec("small", mapping.RUNS[of], model="fake", device="cpu", query="query")
    runs.execute(spec)
    first = mapping.make("small", of)
    shutil.rmtree(config.folder("blocks"))
    assert mapping.make("small", of) == first
    assert not list(config.folder("blocks").iterdir())  # it was found by its key
    other = mapping.make("small", of, seed=1)
    for path in config.folder("blocks").glob("*/part-*.npz"):
        path.write_bytes(b"")
    assert mapping.make("small", of, seed=2).labels == other.labels


def test_the_last_of_ten_checkpoints_is_mapped() -> None:
    run = Run("", "", "", "", {}, {"parts": {f"pool_{k}": "" for k in range(1, 12)}}, 0, 0, 0.0)
    assert mapping._last_vectors(run, "gradients") == "pool_11"
