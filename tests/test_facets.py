"""What a pool's samples can be told apart by, asked of a real store."""

import json

import numpy as np
import pytest

from core import pools, runs, store
from core.domain import RunSpec
from core.store import facets
from core.store.runs import run_columns

ROWS = [
    {
        "instruction": f"Say {i}",
        "output": "word " * (1 + i),
        "source": f"s{i % 3}",
        "level": i / 2,
        "a/b~c": "x" if i % 2 else "y",
        "some": i if i < 5 else "many",
    }
    for i in range(12)
]


@pytest.fixture
def con(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf8")
    pools.import_files([path], "toy")
    with store.connect() as opened:
        yield opened


def test_meta_columns_are_numbers_only_where_all_of_their_values_are(con):
    numbers, texts = facets.meta_columns(con, "toy")
    assert "meta.level" in numbers
    assert {"meta.a/b~c", "meta.some"} <= set(texts)
    assert not set(numbers) & set(texts)


def test_numbers_come_in_pool_order_and_are_missing_where_they_are_none(con):
    assert facets.numbers(con, "toy", "meta.level", 12).tolist() == [i / 2 for i in range(12)]
    some = facets.numbers(con, "toy", "meta.some", 7)
    np.testing.assert_array_equal(some, [0, 1, 2, 3, 4, np.nan, np.nan])
    assert np.isnan(facets.numbers(con, "toy", "meta.gone", 12)).all()
    chars = facets.numbers(con, "toy", "n_chars", 12)
    assert np.all(np.diff(chars) > 0)


def test_values_are_counted_most_first(con, monkeypatch):
    assert facets.values(con, "toy", "source") == [("s0", 4), ("s1", 4), ("s2", 4)]
    assert facets.values(con, "toy", "meta.a/b~c") == [("x", 6), ("y", 6)]
    assert facets.values(con, "toy", "meta.gone") == []
    monkeypatch.setattr(facets, "MOST_VALUES", 2)
    assert len(facets.values(con, "toy", "source")) == 2


def test_a_runs_score_and_length_are_those_of_its_columns(con):
    con.close()
    run = runs.execute(RunSpec("toy", "differential_entropy", model="fake")).run
    with store.connect() as again:
        value, n_tokens = facets.score_and_length(again, run.run_id)
        columns = run_columns(again, run.run_id)
        reasons = facets.reasons(again, run.run_id)
        names = facets.run_numbers(again, run.run_id)
    np.testing.assert_array_equal(value, columns["value"])
    np.testing.assert_array_equal(n_tokens, columns["n_tokens"])
    assert sum(reasons.values()) == np.isnan(value).sum() > 0
    assert set(names) == {n for n, c in columns.items() if c.ndim == 1} - {"value", "position"}
