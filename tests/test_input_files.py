"""Hostile files: whatever they hold, a sentence or balanced books, in bounded room and time."""

import gzip
import json
import os
import random
import tracemalloc
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.targets import Target, of_files
from core import config, pools, score_files, store, streams
from core.domain import Quarantined
from core.errors import ConfigError, RecordError
from core.records import Read, read

GOOD = {"instruction": "Say hi", "output": "Hi"}
LINE = (json.dumps(GOOD) + "\n").encode()
KINDS = ("jsonl", "json", "csv", "tsv", "parquet")
packed = partial(gzip.compress, mtime=0)  # names of tests hold it: the same in every process
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Target]:
    return of_files(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize(
    "name", [*KINDS, *(f"{kind}.gz" for kind in KINDS), "scores", "window.json"]
)
@FEW
@given(seed=st.integers(0, 2**40))
def test_a_broken_file_is_refused_in_a_line_or_read_with_balanced_books(
    targets: Mapping[str, Target], tmp_path: Path, name: str, seed: int
) -> None:
    target = targets[name]
    data = target.make(random.Random(seed))
    told = target.try_(tmp_path / f"fuzzed.{name}", data, seed % 1000)
    assert told in ("refused", "read", "quarantined")


HOSTILE = [
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"instruction": ' + "[" * 900 + "]" * 900 + ', "output": "a"}',
    '{"instruction": NaN, "output": Infinity}',
    '{"instruction": "deep", "output": "a", "x": ' + "[" * 600 + "]" * 600 + "}",
    '{"instruction": "big", "output": "a", "n": ' + "9" * 5000 + ', "e": 1e999, "m": -1e-999}',
    '{"instruction": "nan", "output": "a", "n": NaN, "m": -Infinity}',
    '{"instruction": "half \\ud800", "output": "a"}',
    '{"instruction": "nul \\u0000", "output": "\\u0000a"}',
    '{"instruction": "first", "output": "a", "instruction": "second", "output": "b"}',
    '{"instruction": {"a": 1}, "output": [1, 2]}',
    '{"messages": {"role": "user"}}',
    '{"messages": [[1], null, "x"]}',
    '{"messages": [{"role": ["user"], "content": "a"}, {"role": 1, "content": 2}]}',
    '{"question": "Q", "choices": {"label": ["A", "A", "B"], "text": ["x", "y"]}, "answer": "A"}',
    '{"question": "Q", "choices": {"label": "A", "text": ["x"]}, "answer": "A"}',
    '{"question": "Q", "options": {"A": null}, "answer": "A"}',
    '{"instruction": "Q", "output": "A", "history": {"a": "b"}}',
    '{"instruction": "Q", "output": "A", "history": [["only one"]]}',
    '{"": "", " ": " ", "\\u0000": 1}',
    '{"instruction": "same", "output": "same"}',
    '{"instruction": "same", "output": "same", "id": 2}',
    "null",
    '"text"',
    "123",
    "\x1b]0;title\x07",
    "\0" * 50,
]


def test_every_hostile_record_is_a_sample_a_copy_or_a_reason_and_the_books_balance(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(LINE + "\n".join(HOSTILE).encode() + b"\n\xff\xfe{}\n" + LINE)
    books, pool = pools.import_files([path], "hostile")
    assert books.read == len(HOSTILE) + 3
    assert books.read == books.imported + books.duplicates + books.quarantined
    assert books.duplicates == 2
    assert len(pool) == books.imported == 7
    assert books.quarantine_file is not None
    kept = [json.loads(line) for line in books.quarantine_file.read_text("utf8").splitlines()]
    assert len(kept) == books.quarantined
    assert all(item["reason"].isprintable() for item in kept)
    assert {item["record"] for item in kept} >= {HOSTILE[0], HOSTILE[1], "\udcff\udcfe{}"}
    with store.connect() as con:
        found = store.pools.read_samples(con, "hostile", pool.sample_ids)
    assert [s.instruction for s in found][:1] == ["Say hi"]


# what is packed


def bomb(path: Path, unpacked: int) -> Path:
    """Zeros, spaces or one long text: a thousandth of what it unpacks to."""
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as out:
        out.write(packer.compress(LINE + b'{"instruction": "'))
        for _ in range(unpacked // 2**16):
            out.write(packer.compress(b"a" * 2**16))
        out.write(packer.compress(b'", "output": "b"}\n') + packer.flush())
    return path


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv"])
def test_a_small_file_that_unpacks_to_far_more_is_refused_with_the_setting(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 2**20)
    path = bomb(tmp_path / f"pool.{kind}.gz", 8 * 2**20)
    with pytest.raises(RecordError, match="SFTLENS_UNPACK_RATIO") as error:
        pools.import_files([path], "bomb")
    assert "\n" not in str(error.value)
    assert not list((config.cache_dir() / "spool").iterdir())


def test_a_file_that_is_trusted_may_unpack_to_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 2**20)
    path = bomb(tmp_path / "pool.jsonl.gz", 8 * 2**20)
    monkeypatch.setenv("SFTLENS_UNPACK_RATIO", "2000")
    assert len(list(read(path))) == 2


def test_a_bomb_in_a_bomb_is_not_opened(tmp_path: Path) -> None:
    inner = bomb(tmp_path / "inner.gz", 2**20)
    path = tmp_path / "pool.jsonl.gz"
    path.write_bytes(gzip.compress(inner.read_bytes()))
    with pytest.raises(RecordError, match="binary"):
        read(path)


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "9" * 12, "²"])
@pytest.mark.parametrize("name", ["SFTLENS_UNPACK_RATIO", "SFTLENS_RECORD_MB"])
def test_a_bound_that_is_no_number_is_refused(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=name):
        config.unpack_ratio() if "RATIO" in name else config.longest_record()


def test_a_packed_line_of_50_megabytes_is_a_sample(tmp_path: Path) -> None:
    path = bomb(tmp_path / "pool.jsonl.gz", 50 * 2**20)
    found = list(read(path))
    assert [type(item) for item in found] == [Read, Read]
    assert isinstance(found[1], Read)
    assert len(found[1].sample.instruction) == 50 * 2**20


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pool.jsonl", LINE + b"x" * 2_000_000),
        ("pool.csv", b"instruction,output\na,b\n" + b'"' + b"x\n" * 1_000_000),
        ("pool.tsv", b"instruction\toutput\na\tb\n" + b"x" * 2_000_000),
    ],
)
def test_a_record_without_an_end_is_refused_with_the_setting(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    monkeypatch.setenv("SFTLENS_RECORD_MB", "1")
    with pytest.raises(RecordError, match="SFTLENS_RECORD_MB"):
        list(read(path))


MEMBERS = [
    (packed(LINE) + packed(LINE), 2),
    (packed(LINE[:20]) + packed(LINE[20:]), 1),
    (packed(b"") * 50 + packed(LINE), 1),
    (packed(LINE) + b"\0" * 512, 1),
]


@pytest.mark.parametrize(("content", "records"), MEMBERS)
def test_members_of_a_packed_file_are_one_text(
    tmp_path: Path, content: bytes, records: int
) -> None:
    path = tmp_path / "pool.jsonl.gz"
    path.write_bytes(content)
    assert len(list(read(path))) == records


@pytest.mark.parametrize("content", [packed(LINE) + b"tail", packed(LINE * 99)[:-9]])
def test_a_packed_file_with_a_broken_end_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pool.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="broken gzip"):
        list(read(path))


def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pool.jsonl")
    for path in (tmp_path / "pool.jsonl", Path("/dev/zero")):
        with pytest.raises(RecordError, match="not a plain file"):
            read(path)


# Parquet


def test_a_parquet_file_that_says_it_unpacks_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 2**20)
    path = tmp_path / "pool.parquet"
    texts = ["a" * 8_000_000, "b"]
    table = pa.table({"instruction": texts, "output": ["x", "y"]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    with pytest.raises(RecordError, match="SFTLENS_UNPACK_RATIO"):
        read(path)


@pytest.mark.parametrize("length", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_footer_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD]), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + length.to_bytes(4, "little") + whole[-4:])
    with pytest.raises(RecordError, match="not a Parquet file"):
        read(path)


def test_cells_that_python_cannot_hold_cost_one_record_each(tmp_path: Path) -> None:
    path = tmp_path / "pool.parquet"
    columns = {
        "instruction": pa.array(["a", "b", "c"]),
        "output": pa.array(["x", "y", "z"]),
        "when": pa.array([0, 2**62, None], pa.timestamp("us")),
    }
    pq.write_table(pa.table(columns), path)
    found = list(read(path))
    assert [type(item) for item in found] == [Read, Quarantined, Read]


def nested(levels: int) -> tuple[pa.DataType, Any]:
    kind, value = pa.string(), "deep"
    for _ in range(levels):
        kind, value = pa.list_(kind), [value]
    return kind, value


def test_nested_parquet_is_a_sample_or_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "pool.parquet"
    kind, value = nested(25)
    pairs = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32()))
    columns = {
        "instruction": ["a", "b"],
        "output": ["x", "y"],
        "pairs": pairs,
        "deep": pa.array([value, None], kind),
    }
    pq.write_table(pa.table(columns), path)
    assert [type(item) for item in read(path)] == [Read, Read]
    columns["instruction"] = pairs
    pq.write_table(pa.table(columns), path)
    assert [type(item) for item in read(path)] == [Quarantined, Quarantined]


# scores


def test_a_score_file_of_a_column_a_row_is_refused_before_it_fills_the_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "scores.jsonl"
    rows = [{"id": k, f"score_{k}": 1.0} for k in range(1500)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    with pytest.raises(RecordError, match="more than 1,000 columns"):
        score_files.read(path, "id")


def test_the_texts_of_a_score_file_are_not_held(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    rows = [{"id": k, "score": k / 2, "output": f"{k} " * 5000} for k in range(1000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    tracemalloc.start()
    try:
        found = score_files.read(path, "id")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert list(found.numbers[found.score]) == [row["score"] for row in rows]
    assert most < 2_000_000 < path.stat().st_size // 5


def test_a_line_of_an_error_is_short_and_no_terminal_obeys_it(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    row = {f"\x1b[2J\u202e{k} " + "x" * 200: 1 for k in range(200)}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf8")
    with pytest.raises(RecordError) as error:
        read(path)
    line = str(error.value)
    assert line.isprintable()
    assert len(line) < 2100
    assert line.endswith("--map response=COLUMN.")
    assert "something" not in str(RecordError("x", "y", got=10**5000))
    assert str(RecordError("x", "y", got=10**5000)) == "x: y. Got a int that cannot be shown."
