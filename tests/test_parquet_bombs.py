"""Parquet files that mean far more than they hold: refused in a line, in bounded memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import config, parquet_counts, pools, streams
from core.errors import RecordError
from core.readers import records

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the most memory it had")
READ = """
import resource, sys
from pathlib import Path
from core.errors import RecordError
from core.readers import records
import pyarrow.compute, pyarrow.parquet

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))  # a test that fails ends here
before, found, said = peak(), 0, ""
try:
    for record in records(Path(sys.argv[1])):
        found += 1
except RecordError as error:
    said = str(error)
print(found, peak() - before)
print(said)
"""


def through(path: Path, **setting: str) -> tuple[int, int, str]:
    """Records read in a process of its own, megabytes that took, and the refusal."""
    command = [sys.executable, "-c", READ, str(path)]
    environ = {"PATH": "", "PYTHONPATH": str(config.ROOT), **setting}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=config.ROOT, env=environ, check=True
    )
    first, said = done.stdout.split("\n", 1)
    found, megabytes = map(int, first.split())
    return found, megabytes, said.strip()


def naming(texts: list[str], which: Any) -> pa.Array:
    """A column that holds each text once: row k has `texts[which[k]]`."""
    return pa.array(texts).dictionary_encode().take(pa.array(which))


def bomb(path: Path, megabytes: int = 20, rows: int = 100_000) -> Path:
    """One long text in every row."""
    text = naming(["a" * (megabytes * 10**6)], np.zeros(rows, np.int32))
    table = pa.table({"instruction": ["Q"] * rows, "output": text})
    pq.write_table(table, path, compression="zstd", store_schema=False)
    return path


def chats(texts: pa.Array, turns: int) -> pa.Array:
    """Chats of so many turns each, with these texts in them."""
    role = pa.array(["user", "assistant"]).take(pa.array(np.arange(len(texts)) % 2))
    each = pa.StructArray.from_arrays([role, texts], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(texts) + 1, turns), pa.int32()), each)


@LINUX
def test_a_text_that_is_named_a_hundred_thousand_times_is_refused_in_a_line(
    tmp_path: Path,
) -> None:
    path = bomb(tmp_path / "pool.parquet")
    assert path.stat().st_size < 5000  # and means 2 TB
    found, megabytes, said = through(path)
    assert found == 0
    assert megabytes < 400
    assert said.startswith(f"{path}: unpacks to more than 100 times its size and 256 MB.")
    assert said.endswith("set SFTLENS_UNPACK_RATIO to a larger number.")
    assert "\n" not in said


@LINUX
def test_a_chat_of_a_hundred_thousand_times_one_text_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "pool.parquet"
    texts = naming(["a" * 20_000_000], np.zeros(100_000, np.int32))
    pq.write_table(pa.table({"messages": chats(texts, 100_000)}), path, compression="zstd")
    found, megabytes, said = through(path)
    assert (found, megabytes < 400) == (0, True)
    assert "SFTLENS_UNPACK_RATIO" in said


@LINUX
def test_a_bomb_that_is_trusted_is_read_a_record_at_a_time(tmp_path: Path) -> None:
    found, megabytes, said = through(
        bomb(tmp_path / "pool.parquet", 5, 60), SFTLENS_UNPACK_RATIO="999999999"
    )
    assert (found, said) == (60, "")
    assert megabytes < 200  # of 300


@LINUX
def test_records_of_a_megabyte_are_not_held_by_the_thousand(tmp_path: Path) -> None:
    path = tmp_path / "pool.parquet"
    rng = np.random.default_rng(0)
    texts = (rng.bytes(500_000).hex() for _ in range(200))
    table = pa.table({"instruction": ["Q"] * 200, "output": list(texts)})
    # else all of them are one page
    pq.write_table(table, path, use_dictionary=False, write_batch_size=1)
    found, megabytes, said = through(path)
    assert (found, said) == (200, "")
    assert megabytes < 150  # of 200


def repeated(kind: pa.DataType) -> pa.Array:
    return pa.array(["a" * 100_000] * 50).cast(kind)


NESTED: dict[str, Callable[[], pa.Array]] = {
    "binary": lambda: repeated(pa.binary()),
    "large": lambda: repeated(pa.large_string()),
    "view": lambda: repeated(pa.string_view()),
    "json": lambda: pa.array([json.dumps("a" * 100_000)] * 50, pa.json_(pa.string())),
    "list": lambda: pa.array([["a" * 100_000] * 50]),
    "large list": lambda: pa.array([["a" * 100_000] * 50], pa.large_list(pa.large_string())),
    "fixed list": lambda: pa.array([["a" * 100_000] * 50], pa.list_(pa.string(), 50)),
    "struct": lambda: pa.array([{"a": {"b": "a" * 100_000}}] * 50),
    "map": lambda: pa.array([[("k", "a" * 100_000)]] * 50, pa.map_(pa.string(), pa.string())),
    "keys": lambda: pa.array([[("a" * 100_000, 1)]] * 50, pa.map_(pa.string(), pa.int8())),
    "chat": lambda: pa.array([[{"role": "user", "parts": ["a" * 100_000]}]] * 50),
    "by name": lambda: repeated(pa.string()).dictionary_encode(),
}


@pytest.mark.parametrize("kind", NESTED)
def test_a_bomb_of_any_type_is_counted_before_it_is_unpacked(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 10**6)
    path = tmp_path / "pool.parquet"
    column = NESTED[kind]()
    pq.write_table(pa.table({"x": column, "y": ["q"] * len(column)}), path, compression="zstd")
    assert path.stat().st_size < 40_000
    with pytest.raises(RecordError, match="SFTLENS_UNPACK_RATIO"):
        next(records(path))
    monkeypatch.setenv("SFTLENS_UNPACK_RATIO", "100000")
    monkeypatch.setattr(parquet_counts, "ROOM", 10**6)  # a row at a time
    assert len(list(records(path))) == len(column)


def test_bombs_in_columns_of_one_name_are_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 10**6)
    path = tmp_path / "pool.parquet"
    columns = [repeated(pa.string()), pa.array(["b"] * 50)]
    for order in (columns, columns[::-1]):
        table = pa.Table.from_arrays(order, ["x", "x"])
        pq.write_table(table, path, compression="zstd")
        with pytest.raises(RecordError, match="SFTLENS_UNPACK_RATIO"):
            next(records(path))


def test_texts_that_begin_as_the_one_before_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pool.parquet"
    table = pa.table({"instruction": ["Q"] * 50, "output": ["a" * 100_000] * 50})
    encoded = {"instruction": "PLAIN", "output": "DELTA_BYTE_ARRAY"}
    pq.write_table(table, path, use_dictionary=False, column_encoding=encoded)
    assert sum(1 for _ in records(path)) == 50
    monkeypatch.setattr(streams, "ALWAYS", 10**6)
    monkeypatch.setenv("SFTLENS_UNPACK_RATIO", "20")
    with pytest.raises(RecordError, match="SFTLENS_UNPACK_RATIO"):
        list(records(path))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_record_that_is_too_long_is_refused_by_its_number(
    tmp_path: Path, named: bool, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_RECORD_MB", "1")
    path = tmp_path / "pool.parquet"
    rows: list[Any] = ["a"] * 2500
    rows[1700] = "b" * 1_100_000
    output = pa.array([[row] for row in rows] if nested else rows)
    table = pa.table({"instruction": ["Q"] * 2500, "output": output})
    pq.write_table(table, path, use_dictionary=named, row_group_size=900)
    with pytest.raises(RecordError, match="SFTLENS_RECORD_MB") as error:
        list(records(path))
    assert error.value.where == f"{path}:record 1701"


@pytest.mark.parametrize("named", [True, False, ["instruction"]])
@pytest.mark.parametrize("room", [1, 20_000, 2**26])
def test_rows_are_the_same_however_many_are_read_together(
    tmp_path: Path, named: Any, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_counts, "ROWS", 50)
    monkeypatch.setattr(parquet_counts, "ROOM", room)
    path = tmp_path / "pool.parquet"
    rows: list[dict[str, Any]] = [
        {
            "instruction": f"Say {k % 7}" * (k % 50),
            "output": None if k % 11 == 0 else "It is " + "so " * (k % 300),
            "messages": [{"role": "user", "content": "x" * (k % 90)}] * (k % 4),
            "tags": {"a": ["b", None][: k % 3], "n": k},
        }
        for k in range(400)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(
        table, path, use_dictionary=named, row_group_size=170, dictionary_pagesize_limit=3000
    )
    found = list(records(path))
    assert [record.row for record in found] == table.to_pylist()
    assert found[-1].where == f"{path}:record 400"


def test_a_bomb_leaves_nothing_of_an_import_behind(tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    pq.write_table(pa.table({"instruction": ["Q"], "output": ["A"]}), good)
    paths = [good, bomb(tmp_path / "bomb.parquet", 1, 1000)]
    with pytest.raises(RecordError, match="SFTLENS_UNPACK_RATIO"):
        pools.import_files(paths, "pool")
    assert not list((config.cache_dir() / "spool").iterdir())
