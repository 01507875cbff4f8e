"""Imported scores: joined by a key, stored as a run like any other, refused in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from calls import jsonl, sftlens

from core import config, external, pools, replay, rescoring, runs, store
from core.domain import RunSpec
from core.errors import MethodError, PoolError, RecordError, RunError, SFTLensError
from core.export import Layout, export
from core.external import Imported
from core.methods import build
from core.recipe import Recipe
from core.rules import Range as Rule
from core.selection import Selection, select
from core.store import runs as stored

N = 12


def record(k: int) -> dict[str, Any]:
    return {"instruction": f"Count to {k}", "output": "one " * (k + 1), "id": f"r{k}", "number": k}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the pool `mine`, made once."""
    made = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(made))
        pools.import_files([jsonl(made / "mine.jsonl", map(record, range(N)))], "mine")
        return config.store_path()


@pytest.fixture
def pool(imported: Path) -> str:
    config.cache_dir().mkdir()
    shutil.copy(imported, config.store_path())
    return "mine"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def file(text: str | bytes, name: str = "scores.csv") -> Path:
        body = text.encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(body)
        return tmp_path / name

    return file


def chosen(made: Imported, budget: str = "100%", **more: Any) -> Selection:
    recipe = Recipe(pool="mine", method="external", run_id=made.run.run_id, budget=budget, **more)
    return select(recipe)


def reasons(selection: Selection) -> dict[str, int]:
    return selection.subset.counts()


BASIC = "id,score\nr3,0.5\nr1,2\nr7,-1e-3\n"


def test_the_highest_imported_scores_come_first(pool: str, write: Any) -> None:
    made = external.import_scores(pool, write(BASIC), "id")
    assert (made.matched, made.unknown, made.run.n, made.run.n_scored) == (3, (), N, 3)
    found = chosen(made)
    assert found.subset.chosen.tolist() == [1, 3, 7]
    assert reasons(found) == {"kept": 3, "not scored: no score in scores.csv": N - 3}
    assert found.scores.value[[1, 3, 7]].tolist() == [2, 0.5, -1e-3]


def test_the_lowest_may_come_first_even_later(pool: str, write: Any) -> None:
    path = write(BASIC)
    lower = external.import_scores(pool, path, "id", order="lower")
    assert chosen(lower).subset.chosen.tolist() == [7, 3, 1]
    higher = external.import_scores(pool, path, "id")
    assert chosen(higher, params={"order": "lower"}).subset.chosen.tolist() == [7, 3, 1]
    assert higher.run.run_id != lower.run.run_id


def parquet(path: Path) -> Path:
    columns = {"id": ["r3", "r1", "r7"], "score": pa.array([0.5, 2, -1e-3])}
    pq.write_table(pa.table(columns), path)
    return path


def test_every_kind_of_file_gives_the_same_scores(pool: str, write: Any, tmp_path: Path) -> None:
    lines = "".join(
        json.dumps({"id": i, "score": s}) + "\n" for i, s in (("r3", 0.5), ("r1", 2), ("r7", -1e-3))
    )
    files = [
        write(BASIC),
        write(BASIC.replace(",", "\t"), "scores.tsv"),
        write(b"\xef\xbb\xbf" + BASIC.encode(), "with-bom.csv"),
        write(BASIC.replace("\n", "\r\n"), "windows.csv"),
        write(lines, "scores.jsonl"),
        parquet(tmp_path / "scores.parquet"),
    ]
    values = [chosen(external.import_scores(pool, f, "id")).scores.value for f in files]
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


def test_rows_join_by_sample_id_or_by_any_column(pool: str, write: Any) -> None:
    with store.connect() as con:
        ids = store.pools.get_pool(con, pool).sample_ids
    by_hash = write(f"sample_id,score\n{ids[4]},1\n{ids[2]},3\n", "by-hash.csv")
    made = external.import_scores(pool, by_hash, "sample_id")
    assert chosen(made).subset.chosen.tolist() == [2, 4]
    by_number = external.import_scores(pool, write("number,score\n4, 1\n2,3\n"), "number")
    assert chosen(by_number).subset.chosen.tolist() == [2, 4]
    floats = by_hash.with_name("floats.parquet")
    pq.write_table(pa.table({"number": [4.0, 2.0], "score": [1, 3]}), floats)
    by_float = external.import_scores(pool, floats, "number")
    assert chosen(by_float).subset.chosen.tolist() == [2, 4]


def test_the_order_of_the_rows_changes_nothing_but_the_run(pool: str, write: Any) -> None:
    head, *rows = BASIC.splitlines()
    mixed = "\n".join([head, *reversed(rows)])
    a = external.import_scores(pool, write(BASIC), "id")
    b = external.import_scores(pool, write(mixed), "id")
    np.testing.assert_array_equal(chosen(a).scores.value, chosen(b).scores.value)
    assert a.run.run_id != b.run.run_id


def test_the_same_import_is_the_same_run(pool: str, write: Any) -> None:
    path = write(BASIC)
    runs_made = {external.import_scores(pool, path, "id").run.run_id for _ in range(2)}
    assert len(runs_made) == 1
    named = external.import_scores(pool, path, "id", label="judge")
    assert named.run.run_id not in runs_made
    assert named.run.params["label"] == "judge"
    with store.connect() as con:
        kept = stored.get_run(con, named.run.run_id)
    assert kept is not None
    assert (kept.params, kept.card) == (named.run.params, named.run.card)


def test_other_numbers_are_columns_for_rules(pool: str, write: Any) -> None:
    text = "id,score,Toxic Level,note,n_tokens\nr1,1,0.9,a,10\nr2,2,0.1,b,20\nr3,3,,c,30\n"
    made = external.import_scores(pool, write(text), "id")
    kept = chosen(made, rules=(Rule(column="toxic_level", high=0.5),))
    assert kept.subset.chosen.tolist() == [2]
    assert "note" not in kept.columns
    assert chosen(made, "50 tokens").subset.chosen.tolist() == [3, 2]


def test_numbers_that_are_missing_have_a_reason(pool: str, write: Any) -> None:
    made = external.import_scores(
        pool, write("id,score\nr1,\nr2,NaN\nr3,inf\nr4,4\nr5,n/a\n"), "id"
    )
    assert made.matched == 5
    assert made.run.n_scored == 1
    assert reasons(chosen(made)) == {
        "kept": 1,
        "not scored: the score is not a number": 4,
        "not scored: no score in scores.csv": N - 5,
    }


def test_rows_without_a_sample_are_counted_and_named(pool: str, write: Any) -> None:
    rows = "".join(f"x{k},1\n" for k in range(5))
    made = external.import_scores(pool, write(f"id,quality\nr1,1\n{rows}"), "id")
    assert made.unknown == ("x0", "x1", "x2", "x3", "x4")
    assert made.sentence() == (
        "matched 1 of 12 samples, ranked by quality; 5 rows without a sample: x0, x1, x2, ..."
    )


def test_samples_without_the_key_have_no_score(tmp_path: Path, write: Any) -> None:
    rows = [record(0), {"instruction": "Hi", "output": "Ho"}, record(2) | {"id": ""}]
    pools.import_files([jsonl(tmp_path / "mine.jsonl", rows)], "mine")
    made = external.import_scores("mine", write("id,score\nr0,1\n"), "id")
    assert chosen(made).subset.chosen.tolist() == [0]


def test_a_pool_that_grew_is_imported_anew(pool: str, write: Any, tmp_path: Path) -> None:
    path = write(BASIC)
    before = external.import_scores(pool, path, "id")
    pools.import_files([jsonl(tmp_path / "more.jsonl", [record(N)])], pool)
    after = external.import_scores(pool, path, "id")
    assert (before.run.n, after.run.n) == (N, N + 1)
    assert chosen(before).subset.chosen.tolist() == chosen(after).subset.chosen.tolist()


def test_an_export_of_imported_scores_replays_byte_for_byte(
    pool: str, write: Any, tmp_path: Path
) -> None:
    made = external.import_scores(pool, write(BASIC), "id")
    recipe = Recipe(pool=pool, method="external", run_id=made.run.run_id, budget="2")
    export(recipe, Layout(), tmp_path / "out")
    again = replay.replay(tmp_path / "out" / "manifest.json")
    assert again.differences == ()


def test_scoring_with_no_import_leaves_every_sample_out(pool: str) -> None:
    scores = build("external").score({"id_hash": np.arange(3)})
    assert np.isnan(scores.value).all()
    assert all("score-import" in str(reason) for reason in scores.reasons())
    found = rescoring.rescore(
        stored.Run("0" * 20, pool, "", "external", {}, {}, 3, 0, 0.0), {"id_hash": np.arange(3)}, {}
    )
    assert np.isnan(found.value).all()


def test_names_are_made_safe_and_never_hide_another(pool: str, write: Any) -> None:
    text = "id,Score,value,9 lives,Größe,position\nr1,1,2,3,4,5\n"
    made = external.import_scores(pool, write(text), "id", "Score")
    columns = chosen(made).columns
    found = {
        name: float(columns[name][1]) for name in columns if columns[name][1] == columns[name][1]
    }
    assert found["score_"] == found["score"] == 1
    assert (found["value_"], found["column_9_lives"], found["gr_e"], found["position_"]) == (
        2,
        3,
        4,
        5,
    )
    with pytest.raises(RecordError, match="'a b' and 'A_b' would both be named a_b"):
        external.import_scores(pool, write("id,score,a b,A_b\nr1,1,2,3\n"), "id")


WRONG = {
    "no rows": ("id,score\n", {}, "holds no rows"),
    "empty": ("", {}, "holds no rows"),
    "no key": ("name,score\nr1,1\n", {}, "has no column 'id'. Its columns are name, score"),
    "empty key": ("id,score\nr1,1\n ,2\n", {}, "scores.csv:3: its id is empty"),
    "key twice": ("id,score\nr1,1\nr2,2\nr1,3\n", {}, "scores.csv:4: its id stands in"),
    "text": (
        "id,score\nr1,1\nr2,good\n",
        {},
        "scores.csv:3: its score is not a number. Got 'good'",
    ),
    "underscores": ("id,score\nr1,1_000\n", {}, "is not a number. Got '1_000'"),
    "all missing": ("id,score\nr1,\nr2,\n", {}, "its score is not a number"),
    "no numbers": ("id,note\nr1,a\n", {}, "has no column of numbers"),
    "many numbers": ("id,a,b\nr1,1,2\n", {}, "--score COLUMN, of a, b"),
    "unknown score": ("id,a\nr1,1\n", {"score": "b"}, "has no column 'b' of scores"),
    "key as score": ("id,a\nr1,1\n", {"score": "id"}, "has no column 'id' of scores"),
    "no match": (
        "id,score\nx,1\n",
        {},
        "no row has the id of a sample. Got 'x'. A sample has e.g. 'r0'",
    ),
    "ragged": ("id,score\nr1,1,3\n", {}, "has 3 fields where the header has 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_sentence_and_leaves_no_run(pool: str, write: Any, name: str) -> None:
    text, options, says = WRONG[name]
    with pytest.raises(SFTLensError) as caught:
        external.import_scores(pool, write(text), "id", **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    with store.connect() as con:
        assert con.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_file_that_is_not_there_is_one_sentence(pool: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no such file"):
        external.import_scores(pool, tmp_path / "none.csv", "id")


def test_a_pool_that_cannot_be_joined_is_one_sentence(
    pool: str, write: Any, tmp_path: Path
) -> None:
    with pytest.raises(PoolError, match="no pool by this name"):
        external.import_scores("nowhere", write(BASIC), "id")
    with pytest.raises(PoolError, match=r"no column 'key'\. Join by one of: sample_id, id, number"):
        external.import_scores(pool, write("key,score\nr1,1\n"), "key")
    pools.import_files([jsonl(tmp_path / "queries.jsonl", [record(0)])], "asked", "query")
    with pytest.raises(PoolError, match="is a query set"):
        external.import_scores("asked", write(BASIC), "id")
    twins = [record(k) | {"id": "same"} for k in range(3)]
    pools.import_files([jsonl(tmp_path / "twins.jsonl", twins)], "twins")
    with pytest.raises(PoolError, match=r"3 of its samples have this id\. Got 'same'"):
        external.import_scores("twins", write("id,score\nsame,1\n"), "id")


@pytest.mark.parametrize("name", ["a.b", 'a"b', "a/b", "*", "$.id", "ключ", "two words"])
def test_a_key_may_have_any_name(tmp_path: Path, name: str) -> None:
    rows = [record(k) | {name: f"k{k}"} for k in range(3)]
    pools.import_files([jsonl(tmp_path / "mine.jsonl", rows)], "mine")
    file = jsonl(tmp_path / "scores.jsonl", [{name: "k2", "score": 1}])
    assert chosen(external.import_scores("mine", file, name)).subset.chosen.tolist() == [2]


def test_the_command_says_what_it_joined_and_what_comes_next(pool: str, write: Any) -> None:
    done = sftlens("score-import", pool, write(BASIC + "x,1\n"), "--lower", "--name", "judge")
    assert done.returncode == 0, done.stderr
    run, after = done.stdout.splitlines()
    assert "matched 3 of 12 samples, ranked by score; 1 row without a sample: x" in run
    assert run.split()[1].rstrip(":") in after
    wrong = sftlens("score-import", pool, write("id,a,b\nr1,1,2\n"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: ")
    assert len(wrong.stderr.splitlines()) == 1


def test_scores_from_a_file_are_not_computed(pool: str) -> None:
    with pytest.raises(MethodError, match=r"come from a file\. Import them: sftlens score-import"):
        runs.execute(RunSpec(pool, "external", model="fake", device="cpu"))
    with store.connect() as con, pytest.raises(RunError, match=r"score-import \w+ FILE"):
        stored.newest_run(con, pool, "external")


def test_a_score_column_that_was_not_imported_is_refused(pool: str, write: Any) -> None:
    made = external.import_scores(pool, write(BASIC), "id")
    with pytest.raises(MethodError, match=r"^external.score_column: there is no such column"):
        chosen(made, params={"score_column": "nope"})
