"""An array is read through a window: the same records whatever its size, in bounded memory."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import config, json_records, pools
from core.columns import Record
from core.errors import RecordError
from core.readers import records
from core.records import Read, read

GOOD = {"instruction": "Say hi", "output": "Hi"}
WHOLE = 2**30  # characters: any text of a test in one window

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["\\", '"', '\\"', "\u2028", "😀", "]", "[", "{", ",", "a" * 50, "\ud83d", "\r\n"]
)
NUMBERS = (
    st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from([1.5e300, -1e-300, 10**4000, float("inf"), float("-inf"), 12.0])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
BETWEEN = st.sampled_from([",", " ,\n", ",\r\n\r\n", "\r", ",,", "," + " " * 40 + "\n", "\n\r\n"])


@st.composite
def arrays(draw: st.DrawFn) -> tuple[list[object], list[str], str]:
    """Values, each as it is written, and the text of an array of them."""
    values = draw(st.lists(VALUES, max_size=6))
    written = [
        json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        for value in values
    ]
    text = draw(st.sampled_from(["[", " [\r\n", "\ufeff[\r", "\n\n[ "]))
    for piece in written:
        text += piece + draw(BETWEEN)
    return values, written, text + draw(st.sampled_from(["]", "]\n", "\r\n]\r\n  \n"]))


def seen(path: Path, text: str, window: int) -> list[Record]:
    path.write_bytes(text.encode("utf8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "WINDOW", window)
        return list(records(path))


def told(path: Path, text: str, window: int) -> str:
    """Its records or its refusal, as text: NaN is not itself."""
    try:
        return repr(seen(path, text, window))
    except RecordError as error:
        return str(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays") / "pool.json"


@given(made=arrays(), window=st.integers(1, 200))
def test_an_array_gives_what_a_reader_of_the_whole_gives(
    place: Path, made: tuple[list[object], list[str], str], window: int
) -> None:
    values, written, text = made
    found = seen(place, text, window)
    assert [record.raw.encode("utf8", "surrogateescape") for record in found] == [
        piece.encode("utf8", "surrogatepass") for piece in written
    ]
    assert [record.where for record in found] == [f"{place}:{n}" for n in lines_of(text, written)]
    for record, value in zip(found, values, strict=True):
        if isinstance(value, dict) and not record.fault:
            assert repr(record.row) == repr(oracle(json.dumps(value)))
        else:
            assert record.fault


def oracle(text: str) -> object:
    """What `json` makes of a text, but for numbers that int() may not read."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 21 else digits)


def lines_of(text: str, pieces: list[str]) -> Iterator[int]:
    """The line that each of these pieces of a text begins on."""
    at = text.index("[") + 1
    for piece in pieces:
        at = text.index(piece, at)
        yield 1 + text[:at].replace("\r\n", "\n").replace("\r", "\n").count("\n")
        at += len(piece)


CUTS = st.tuples(
    st.integers(0, 400), st.integers(0, 60), st.text('[]{},:"\\ \r\n1e.-truN', max_size=6)
)


@given(made=arrays(), cut=CUTS, window=st.integers(1, 200), inside=st.booleans())
def test_a_broken_array_is_the_same_records_and_reasons_through_any_window(
    place: Path,
    made: tuple[list[object], list[str], str],
    cut: tuple[int, int, str],
    window: int,
    inside: bool,
) -> None:
    at, length, other = cut
    text = made[2][:at] + other + made[2][at + length :]
    text = "[\n" + text if inside else text
    assert told(place, text, window) == told(place, text, WHOLE)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 16, 17, WHOLE])
@pytest.mark.parametrize(
    "number", ["1", "12.5", "-0.0", "1e5", "1.5E+10", "-2e-3", "9" * 4400, "1" * 30, "-Infinity"]
)
def test_a_number_that_a_window_cuts_is_one_number(place: Path, number: str, window: int) -> None:
    text = f'[{number},{{"n":{number}}}, {number}\n]'
    bare, row, last = seen(place, text, window)
    assert (bare.raw, last.raw) == (number, number)
    assert repr(row.row) == repr(oracle(f'{{"n": {number}}}'))


def test_a_record_of_many_windows_is_read_a_few_times_over(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    tries = json_records._Window._tried

    def counted(window):
        tried.append(len(window.text) - window.at)
        return tries(window)

    monkeypatch.setattr(json_records._Window, "_tried", counted)
    long = json.dumps([GOOD, GOOD | {"output": "x" * 300_000}, GOOD])
    assert len(seen(place, long, 100)) == 3
    assert sum(tried) < 4 * len(long)


# bounds


@pytest.mark.parametrize("window", [100, 10**6, WHOLE])
@pytest.mark.parametrize("end", ['"}]', ""])
def test_a_record_longer_than_it_may_be_is_refused_with_the_setting_and_its_line(
    place: Path, window: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_RECORD_MB", "1")
    text = f'[{json.dumps(GOOD)},\n{{"instruction": "a", "output": "{"b" * 1_000_000}{end}'
    with pytest.raises(RecordError, match="SFTLENS_RECORD_MB") as error:
        seen(place, text, window)
    assert error.value.where == f"{place}:2"
    assert "1,000,000 characters" in str(error.value)


@pytest.mark.parametrize("window", [100, 10**6, WHOLE])
def test_a_mistake_with_more_behind_it_than_a_record_may_have_is_named(
    place: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_RECORD_MB", "1")
    good = json.dumps(GOOD)
    few, many = good + ",\n", (good + ",\n") * 30_000
    text = f"[{few}{{'single': 1}},\n{many}{good}]"
    with pytest.raises(RecordError, match="is not JSON: Expecting property name") as error:
        seen(place, text, window)
    assert error.value.where == f"{place}:2"
    assert "SFTLENS_RECORD_MB" in error.value.do
    (place.parent / "few.json").write_text(f"[{few}{{'single': 1}},\n{few}{good}]", "utf8")
    assert [type(item) is Read for item in read(place.parent / "few.json")] == [True, False]


def test_what_follows_an_array_is_bounded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLENS_RECORD_MB", "1")
    for size, window in ((999_000, 100), (999_000, WHOLE)):
        found = seen(place, f"[{json.dumps(GOOD)}]\n{'x' * size}", window)
        assert "after the end" in found[1].fault
    for window in (100, WHOLE):
        with pytest.raises(RecordError, match="SFTLENS_RECORD_MB"):
            seen(place, f"[{json.dumps(GOOD)}]\n{'x' * 1_000_100}", window)


def test_gaps_of_any_length_are_no_records(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLENS_RECORD_MB", "1")
    gap = "\r\n" * 600_000
    first, second = seen(place, f"[{gap}{json.dumps(GOOD)},{gap}{json.dumps(GOOD)}{gap}]", 1001)
    assert (first.where, second.where) == (f"{place}:600001", f"{place}:1200001")


READ = """
import sys
from pathlib import Path
from core.readers import records

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

before = peak()
print(sum(not record.fault for record in records(Path(sys.argv[1]))), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the most memory it had")
@pytest.mark.parametrize("name", ["pool.json", "pool.json.gz"])
def test_an_array_far_longer_than_its_window_takes_the_memory_of_a_few(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    row = json.dumps(GOOD | {"text": "😀 " * 1000}, ensure_ascii=False)
    with gzip.open(path, "wt", 1, "utf8") if name.endswith("gz") else path.open("w") as out:
        out.write("[")
        for _ in range(20):
            out.write((row + ",\n") * 1000)
        out.write(row + "]")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, cwd=config.ROOT, check=True
    )
    found, megabytes = map(int, done.stdout.split())
    assert found == 20_001
    assert megabytes < 64  # 40 million characters of four bytes each


def test_the_books_of_a_long_array_balance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "WINDOW", 1000)
    rows = [{"instruction": f"Say {k}", "output": "x" * (k % 300)} for k in range(2000)]
    (tmp_path / "pool.json").write_text(json.dumps(rows), "utf8")
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    books, array = pools.import_files([tmp_path / "pool.json"], "array", None)
    again, lines = pools.import_files([tmp_path / "pool.jsonl"], "lines", None)
    assert (books.read, books.imported, books.quarantined) == (2000, 1993, 7)
    assert again.sentence() == books.sentence()
    assert array.sample_ids == lines.sample_ids
