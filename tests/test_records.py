"""Files of records: every shape, every fault, and books that balance."""

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain import Quarantined, Turn
from core.errors import RecordError
from core.records import Read, read
from core.shapes import SHAPES

GOOD = {"instruction": "Say hi", "output": "Hi"}
REAL = Path(__file__).parents[2] / "shared" / "data"
REAL_ROWS = {
    "gsm8k_train.jsonl": (7473, "question/answer"),
    "gsm8k_test.jsonl": (1319, "question/answer"),
    "svamp_test.jsonl": (1000, "question/answer"),
    "codealpaca.json": (4535, "alpaca"),
    "alpaca_en_demo.json": (999, "alpaca"),
    "gpteacher_roleplay.json": (3146, "alpaca"),
    "medqa_test.jsonl": (1273, "multiple choice"),
}


def jsonl(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def saved(folder: Path, content: str | bytes, name: str = "pool.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def as_table(rows: Sequence[dict[str, str]], delimiter: str = ",") -> str:
    out = io.StringIO()
    table = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Read | Quarantined]:
    """Read one record; a good one goes before it, so that the file is not refused."""

    def give(row: object, mapping: dict[str, str] | None = None) -> Read | Quarantined:
        rows = [row] if mapping else [GOOD, row]
        return list(read(saved(tmp_path, jsonl(rows)), mapping))[-1]

    return give


def good(thing: Read | Quarantined) -> Read:
    assert isinstance(thing, Read), thing
    return thing


def reason(thing: Read | Quarantined) -> str:
    assert isinstance(thing, Quarantined), thing
    return thing.reason


def said(thing: Read | Quarantined) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in good(thing).sample.turns]


# shapes

CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
QA = [("user", "Q"), ("assistant", "A")]
PICKED = [("user", "Q\nA. x\nB. y"), ("assistant", "B. y")]
SYSTEM = [("system", "S")]


@pytest.mark.parametrize(
    ("row", "shape", "turns"),
    [
        ({"messages": CHAT}, "messages", QA),
        ({"conversation": CHAT}, "messages", QA),
        ({"Messages": CHAT, "prompt": "p", "output": "o"}, "messages", QA),
        ({"messages": CHAT, "system": "S"}, "messages", SYSTEM + QA),
        ({"messages": [*CHAT, CHAT[0]]}, "messages", [*QA, ("user", "Q")]),
        (
            {"messages": [{"role": "system", "content": "S"}, *CHAT], "system": "other"},
            "messages",
            SYSTEM + QA,
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "Q"}, {"type": "text", "text": "?"}],
                    },
                    CHAT[1],
                ]
            },
            "messages",
            [("user", "Q?"), ("assistant", "A")],
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
                "system": "S",
            },
            "sharegpt",
            SYSTEM + QA,
        ),
        (
            {
                "conversations": [
                    {"from": "system", "value": "S"},
                    {"from": "user", "value": "Q"},
                    {"from": "bard", "value": "A"},
                ]
            },
            "sharegpt",
            SYSTEM + QA,
        ),
        ({"conversations": CHAT}, "sharegpt", QA),
        ({"instruction": "Q", "output": "A"}, "alpaca", QA),
        ({"INSTRUCTION": "Q", "Response": "A"}, "alpaca", QA),
        ({"instruction": "Q", "input": " \n", "output": "A", "response": "A"}, "alpaca", QA),
        ({"instruction": "Q", "output": "A", "response": "B"}, "alpaca", QA),
        ({"instruction": "Q", "output": "", "response": "A"}, "alpaca", QA),
        ({"instruction": "Q", "output": None, "response": "A", "messages": None}, "alpaca", QA),
        ({"instruction": "Q", "output": "A", "system": "S"}, "alpaca", SYSTEM + QA),
        (
            {"instruction": "Q", "output": "A", "history": [["q", "a"]], "system": "S"},
            "alpaca",
            [*SYSTEM, ("user", "q"), ("assistant", "a"), *QA],
        ),
        ({"prompt": "Q", "completion": "A"}, "prompt/completion", QA),
        ({"prompt": "Q", "response": "A", "chosen": "no"}, "prompt/completion", QA),
        ({"prompt": CHAT[:1], "completion": CHAT[1:]}, "prompt/completion", QA),
        ({"prompt": CHAT[:1], "completion": "A"}, "prompt/completion", QA),
        ({"question": "Q", "answer": "A"}, "question/answer", QA),
        ({"question": "Q", "answer": True}, "question/answer", [QA[0], ("assistant", "true")]),
        ({"question": "Q", "answer": 2.5}, "question/answer", [QA[0], ("assistant", "2.5")]),
        (
            {"Body": "I have 2 ", "Question": "How many?", "Answer": 145.0},
            "question/answer",
            [("user", "I have 2. How many?"), ("assistant", "145")],
        ),
        (
            {"Body": 'He said "two."', "Question": "How many?", "Answer": 2},
            "question/answer",
            [("user", 'He said "two." How many?'), ("assistant", "2")],
        ),
    ],
)
def test_a_shape_is_recognised_and_becomes_turns(
    one: Callable[..., Read | Quarantined],
    row: object,
    shape: str,
    turns: list[tuple[str, str]],
) -> None:
    found = one(row)
    assert said(found) == turns
    assert good(found).shape == shape


LETTERS = {"A": "x", "B": "y"}


@pytest.mark.parametrize(
    "row",
    [
        {"options": LETTERS, "answer_idx": "B", "answer": "y"},
        {"options": LETTERS, "answer": "y"},
        {"options": LETTERS | {"C": None}, "answer": "b"},
        {"options": ["x", "y"], "answer": 1},
        {"options": ["x", "y"], "answer_index": 1.0},
        {"choices": ["x", "y"], "answer_idx": "", "answer": 1},
        {"choices": {"label": ["A", "B"], "text": ["x", "y"]}, "answerKey": "B"},
    ],
)
def test_multiple_choice_takes_every_way_to_name_the_answer(
    one: Callable[..., Read | Quarantined], row: dict[str, Any]
) -> None:
    found = one({"question": "Q"} | row)
    assert said(found) == PICKED
    assert good(found).shape == "multiple choice"
    meta = good(found).sample.meta
    assert json.loads(meta["options"]) == LETTERS
    assert meta["answer_idx"] == "B"


def test_an_input_ends_the_first_user_turn_and_can_be_split_off(
    one: Callable[..., Read | Quarantined],
) -> None:
    sample = good(one({"instruction": " Q ", "input": " I\n", "output": "A"})).sample
    assert sample.turns[0] == Turn("user", " Q \n\n I\n")
    assert (sample.instruction, sample.input, sample.response) == (" Q ", " I\n", "A")


def test_an_input_after_a_history_stays_in_its_turn(
    one: Callable[..., Read | Quarantined],
) -> None:
    row = {"instruction": "Q", "input": "I", "output": "A", "history": [["q", "a"]]}
    sample = good(one(row)).sample
    assert (sample.turns[2].content, sample.instruction, sample.input) == ("Q\n\nI", "q", "")


def test_text_is_kept_unchanged(one: Callable[..., Read | Quarantined]) -> None:
    text = " \t👩‍🚀 שלום עולم\u2028\u0085\x0b\0\r\nend \n"
    assert said(one({"instruction": text, "output": text})) == [
        ("user", text),
        ("assistant", text),
    ]


def test_meta_holds_flat_finite_scalars_and_no_column_of_the_shape(tmp_path: Path) -> None:
    extra = '"n": 1, "f": 0.5, "t": true, "s": "x", "list": [1], "none": null, "dict": {}'
    odd = f'"nan": NaN, "inf": 1e999, "big": {2**70}, "huge": {"9" * 5000}'
    path = saved(tmp_path, f'{{"instruction": "Q", "output": "A", {extra}, {odd}}}')
    (found,) = read(path)
    assert good(found).sample.meta == {
        **{"n": 1, "f": 0.5, "t": True, "s": "x", "nan": None, "inf": None},
        **{"big": str(2**70), "huge": "9" * 5000},
    }


def test_the_last_of_two_equal_keys_wins(tmp_path: Path) -> None:
    (found,) = read(saved(tmp_path, '{"instruction": "Q", "output": "B", "output": "A"}'))
    assert said(found) == QA


def test_the_source_is_the_argument_then_the_record_then_the_file(tmp_path: Path) -> None:
    rows = [GOOD | {"source": "own"}, GOOD | {"source": 7}, GOOD]
    path = saved(tmp_path, gzip.compress(jsonl(rows).encode()), "my.pool.jsonl.gz")
    own = [good(found).sample for found in read(path)]
    assert [s.source for s in own] == ["own", "my.pool", "my.pool"]
    assert [dict(s.meta) for s in own] == [{}, {"source": 7}, {}]
    given_ = [good(found).sample for found in read(path, source="given")]
    assert [s.source for s in given_] == ["given"] * 3
    assert given_[0].meta == {"source": "own"}


def test_every_shape_fits_a_record_of_just_its_needs() -> None:
    for shape in SHAPES:
        assert not shape.missing({need[-1]: "x" for need in shape.needs})
        assert shape.missing({})


# mapping


def test_mapped_columns_become_a_sample(one: Callable[..., Read | Quarantined]) -> None:
    row = {"q": "Q", "ctx": "I", "A": "A", "sys": "S", "from": "web", "key": 3, "output": "no"}
    mapping = {"instruction": "q", "input": "ctx", "response": "a", "system": "sys"}
    found = one(row, mapping | {"source": "from", "id": "key"})
    assert said(found) == [*SYSTEM, ("user", "Q\n\nI"), ("assistant", "A")]
    sample = good(found).sample
    assert (good(found).shape, sample.source, sample.input) == ("mapped", "web", "I")
    assert sample.meta == {"id": "3", "output": "no"}


def test_messages_can_be_mapped(one: Callable[..., Read | Quarantined]) -> None:
    assert said(one({"chat": CHAT}, {"messages": "chat"})) == QA


def test_a_mapping_of_the_input_alone_finds_the_rest_by_name(
    one: Callable[..., Read | Quarantined],
) -> None:
    row = {"instruction": "Q", "context": "I", "response": "A"}
    assert said(one(row, {"input": "context"}))[0] == ("user", "Q\n\nI")


def test_a_mapped_column_that_is_nowhere_lists_the_columns(tmp_path: Path) -> None:
    path = saved(tmp_path, jsonl([{"q": "Q", "a": "A"}]))
    with pytest.raises(RecordError, match=r"no column 'x'.*Its columns are q, a\."):
        read(path, {"instruction": "q", "response": "x"})


def test_a_mapped_column_that_one_record_lacks_quarantines_that_record(tmp_path: Path) -> None:
    path = saved(tmp_path, jsonl([{"q": "Q", "a": "A"}, {"q": "Q"}, {"q": "Q", "a": None}]))
    _, gone, null = read(path, {"instruction": "q", "response": "a"})
    assert "'a' is missing" in reason(gone)
    assert "'response' is missing" in reason(null)


@pytest.mark.parametrize("mapping", [{"answer": "a"}, {"messages": "q", "response": "a"}])
def test_a_mapping_that_makes_no_sample_is_refused(tmp_path: Path, mapping: dict[str, str]) -> None:
    with pytest.raises(RecordError, match="--map"):
        read(saved(tmp_path, jsonl([{"q": "Q", "a": "A"}])), mapping)


# faults of one record


def turns(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (["a list"], "not a JSON object"),
        ("text", "not a JSON object"),
        ({"foo": 1}, "no shape I know: its keys are 'foo'"),
        ({"instruction": "Q", "x": 1}, "'output' is missing; its keys are 'instruction', 'x'"),
        ({"prompt": "Q", "chosen": "A"}, "'completion' is missing"),
        ({"instruction": "Q", "output": None}, "'output' is missing"),
        ({"instruction": "Q", "output": " \n\t"}, "'output' is empty"),
        ({"instruction": "", "output": "A"}, "'instruction' is empty"),
        ({"instruction": ["Q"], "output": "A"}, "'instruction' is neither text nor a number"),
        ({"instruction": "Q", "input": {}, "output": "A"}, "'input' is neither"),
        ({"instruction": "Q", "output": "A", "history": [["q"]]}, "'history' is not a list"),
        ({"instruction": "Q", "output": "A", "history": "q"}, "'history' is not a list"),
        ({"question": "Q", "answer": math.nan}, "'answer' is neither"),
        ({"messages": "Q"}, "'messages' is not a list of turns"),
        ({"messages": ["Q"]}, "turn 1 of 'messages' is not an object"),
        ({"messages": [{"content": "Q"}]}, "turn 1 of 'messages' has no role"),
        ({"messages": []}, "no user turn"),
        (turns(("assistant", "A")), "no user turn"),
        (turns(("user", "Q")), "no assistant turn"),
        (turns(("assistant", "A"), ("user", "Q")), "starts with an assistant turn"),
        (turns(("user", "Q"), ("tool", "T")), "role 'tool' is not supported yet"),
        (turns(("user", "Q"), ("assistant", " ")), "turn 2 of 'messages' is empty"),
        (turns(("user", "Q"), ("assistant", None)), "turn 2 of 'messages' has no content"),
        (turns(("user", [{"type": "image_url"}])), "content part of type 'image_url' is not text"),
        (turns(("user", ["Q"])), "without a type"),
        (turns(("user", [{"type": "text"}])), "without text"),
        ({"question": "Q", "options": LETTERS, "answer": "E"}, "'E' is none of the options A, B"),
        ({"question": "Q", "options": ["x", "y"], "answer": -1}, "none of the options"),
        ({"question": "Q", "options": ["x", "y"], "answer": 2}, "none of the options"),
        ({"question": "Q", "options": "x, y", "answer": 2}, "'options' is not a list"),
        ({"question": "Q", "options": [], "answer": 0}, "'options' is not a list"),
        ({"question": "Q", "options": ["x"] * 27, "answer": 0}, "more than 26"),
        ({"question": "Q", "options": ["x", ""], "answer": 0}, "option 'B' is empty"),
        (
            {"question": "Q", "choices": {"label": ["A"], "text": ["x", "y"]}, "answer": 0},
            "one label per text",
        ),
    ],
)
def test_a_record_that_is_no_sample_says_why(
    one: Callable[..., Read | Quarantined], row: object, why: str
) -> None:
    assert why in reason(one(row))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"instruction": "\xff", "output": "A"}', "is not valid UTF-8"),
        (b'{"instruction": "\xed\xa0\x80", "output": "A"}', "is not valid UTF-8"),
        (rb'{"instruction": "\ud83d", "output": "A"}', "half of a surrogate pair"),
        (rb'{"instruction": "Q", "output": "A", "x": ["\uDE00"]}', "half of a surrogate pair"),
        (b'{"instruction": "Q", "output": ', "is not JSON: Expecting value"),
        (b'{"instruction": "Q\tq", "output": "A"}', "is not JSON: Invalid control"),
        (b'{"instruction": "Q", "output": "A"} {}', "is not JSON: Extra"),
        (b'{"a":' * 90_000, "nested too deeply"),
    ],
)
def test_a_broken_line_is_quarantined_with_its_exact_bytes(
    tmp_path: Path, line: bytes, why: str
) -> None:
    path = saved(tmp_path, b"\n".join([jsonl([GOOD]).strip().encode(), b"", line, b""]))
    first, broken = read(path)
    good(first)
    assert why in reason(broken)
    assert isinstance(broken, Quarantined)
    assert broken.raw.encode("utf8", "surrogateescape") == line
    assert broken.where == f"{path}:3"


def test_a_whole_pair_of_escapes_is_text(tmp_path: Path) -> None:
    (found,) = read(saved(tmp_path, r'{"instruction": "\ud83d\ude00", "output": "\\ud83d"}'))
    assert said(found) == [("user", "😀"), ("assistant", "\\ud83d")]


# faults of a file


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("pool.jsonl", b"", "holds no records"),
        ("pool.jsonl", b"\xef\xbb\xbf \r\n\n", "holds no records"),
        ("pool.json", b"[ ]", "holds no records"),
        ("pool.csv", b"instruction,output\n", "holds no records"),
        ("pool.csv", b"a,a\n1,2\n", "is not a header"),
        ("pool.csv", b'"a,b\n1,2\n', "is not a header"),
        (
            "pool.tsv",
            b"instruction\toutput\ti\xfe\nSay\tHi\t1\n",
            "is not a header. Got 'is not valid UTF-8'",
        ),
        ("pool.csv", b"Say hi,Hi\nSay ho,Ho\n", "no record has a shape I know"),
        ("pool.bin", bytes(range(256)) * 20, "is binary"),
        ("pool.jsonl", b"\x89PNG" + bytes(range(128, 256)) * 20, "is binary"),
        ("pool.jsonl", jsonl([GOOD]).encode("utf-16-le"), "is binary"),
        ("pool.jsonl", jsonl([GOOD]).encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("pool.jsonl", jsonl([GOOD]).encode("utf-32"), "is UTF-32; save it as UTF-8"),
        ("pool.xml", b"<a>b</a>", "a kind I cannot read"),
        ("pool.json", b"hello", "is not json"),
        ("pool.parquet", b"hello", "is not parquet"),
        ("pool.parquet", b"PAR1 and no more", "is not a Parquet file"),
        ("pool.jsonl.gz", b"hello", "is not gzip"),
        ("pool.jsonl.gz", gzip.compress(jsonl([GOOD] * 500).encode(), mtime=0)[:60], "broken gzip"),
        ("pool.jsonl.gz", b"\x1f\x8b" + b"x" * 50, "broken gzip"),
        ("pool.parquet.gz", gzip.compress(b"PAR1", mtime=0), "Parquet inside gzip"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong(
    tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    path = saved(tmp_path, content, name)
    with pytest.raises(RecordError) as error:
        read(path)
    assert what in str(error.value)
    assert error.value.where.startswith(str(path))
    assert error.value.do


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(RecordError, match="is a folder"):
        read(tmp_path)


def test_a_gzip_file_cut_far_down_is_refused_on_the_way(tmp_path: Path) -> None:
    rows = [GOOD | {"n": n * n} for n in range(5000)]
    whole = gzip.compress(jsonl(rows).encode())
    found = read(saved(tmp_path, whole[: len(whole) // 2], "pool.jsonl.gz"))
    with pytest.raises(RecordError, match="broken gzip"):
        list(found)


def test_a_file_without_any_known_shape_says_how_to_name_columns(tmp_path: Path) -> None:
    path = saved(tmp_path, "{broken\n" + jsonl([{"q": "Q", "a": "A"}] * 20 + [GOOD]))
    with pytest.raises(RecordError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}: no record has a shape I know. Got ['q', 'a']. "
        "Name the columns: --map instruction=COLUMN --map response=COLUMN."
    )


def test_one_known_shape_among_the_first_records_is_enough(tmp_path: Path) -> None:
    path = saved(tmp_path, jsonl([{"q": "Q", "a": "A"}] * 19 + [GOOD]))
    assert [type(found) for found in read(path)] == [Quarantined] * 19 + [Read]


# formats


def everything(path: Path) -> list[list[tuple[str, str]]]:
    return [said(found) for found in read(path)]


ROWS = [{"instruction": "Q,\t1", "output": 'A "1"\r\nend'}, {"instruction": "Q2", "output": "A 🙂"}]
SAID = [[("user", row["instruction"]), ("assistant", row["output"])] for row in ROWS]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pool.jsonl", jsonl(ROWS)),
        ("pool.ndjson", jsonl(ROWS)),
        ("pool.json", jsonl(ROWS)),
        ("pool.txt", "\n " + jsonl(ROWS)),
        ("pool.jsonl", jsonl(ROWS).replace("\n", "\r")),
        ("pool.jsonl", jsonl(ROWS).replace("\n", "\r\n\r\n")),
        ("pool.jsonl", json.dumps(ROWS, indent=1)),
        ("pool.jsonl", "".join(json.dumps(row, indent=1) for row in ROWS)),
        ("pool.json", json.dumps(ROWS)),
        ("pool.json", json.dumps(ROWS, indent=1).replace("\n", "\r\n")),
        ("pool.csv", as_table(ROWS)),
        ("pool.tsv", as_table(ROWS, "\t")),
    ],
)
def test_every_format_gives_the_same_samples(
    tmp_path: Path, name: str, text: str, mark: str, packed: bool
) -> None:
    content = (mark + text).encode()
    content, name = (gzip.compress(content), f"{name}.gz") if packed else (content, name)
    assert everything(saved(tmp_path, content, name)) == SAID


def test_parquet_gives_the_same_samples_and_nested_ones(tmp_path: Path) -> None:
    assert everything(as_parquet(tmp_path / "pool.parquet", ROWS)) == SAID
    (tmp_path / "pool.parquet").rename(tmp_path / "pool")
    assert everything(tmp_path / "pool") == SAID
    assert everything(as_parquet(tmp_path / "chat.parquet", [{"messages": CHAT}])) == [QA]


def test_parquet_names_the_record_and_keeps_it_as_json(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{**ROWS[0], "n": 1}, {"instruction": "Q", "output": None, "n": 2}]
    path = as_parquet(tmp_path / "pool.parquet", rows)
    first, second = read(path)
    assert json.loads(good(first).sample.record) == rows[0]
    assert good(first).sample.meta == {"n": 1}
    assert isinstance(second, Quarantined)
    assert (second.where, second.reason) == (f"{path}:record 2", "'output' is missing")
    assert json.loads(second.raw) == rows[1]


def test_invalid_text_in_parquet_costs_one_record(tmp_path: Path) -> None:
    words = pa.array([b"Q", b"caf\xe9"], pa.binary()).cast(pa.string(), safe=False)
    words = pa.StringArray.from_buffers(2, *words.buffers()[1:])
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.table({"instruction": words, "output": ["A", "A"]}), path)
    first, second = read(path)
    assert said(first) == QA
    assert reason(second) == "is not valid UTF-8"
    assert isinstance(second, Quarantined)
    assert b"caf\xe9" in second.raw.encode("utf8", "surrogateescape")


def test_a_record_keeps_its_exact_json_and_line(tmp_path: Path) -> None:
    texts = ['{"instruction" : "Q",\r\n "output":"A"}', '{"output":"","instruction":"\\u00e9"}']
    path = saved(tmp_path, f"\n[\r\n\r\n{texts[0]},\n{texts[1]}]\n", "pool.json")
    first, second = read(path)
    assert good(first).sample.record == texts[0]
    assert isinstance(second, Quarantined)
    assert (second.raw, second.where) == (texts[1], f"{path}:6")


@pytest.mark.parametrize(
    ("cut", "raw", "why"),
    [
        ('{"instruction": "Q', '{"instruction": "Q', "is not JSON"),
        ("", "", "not closed"),
        ("]\nmore", "\nmore", "after the end"),
        ("nonsense, {}]", "nonsense, {}]", "is not JSON"),
        ('{"a": [' * 50_000, '{"a": [' * 50_000, "nested too deeply"),
    ],
)
def test_a_cut_array_gives_what_came_before_and_one_broken_rest(
    tmp_path: Path, cut: str, raw: str, why: str
) -> None:
    path = saved(tmp_path, f"[{json.dumps(GOOD)},\n{json.dumps(GOOD)},\n{cut}", "pool.json")
    first, second, rest = read(path)
    good(first)
    good(second)
    assert why in reason(rest)
    assert isinstance(rest, Quarantined)
    assert (rest.raw, rest.where) == (raw, f"{path}:3")


def test_a_table_row_is_named_by_its_first_line_and_kept_as_it_stands(tmp_path: Path) -> None:
    text = b'instruction,output,\r\n"a\r\nb",A,1\r\n\r\nQ,,2\r\nQ,A\r\nQ,"A"x,3\r\nQ,\xff,4\r\nQ,"A'
    path = saved(tmp_path, text, "pool.csv")
    first, *rest = read(path)
    assert said(first) == [("user", "a\r\nb"), ("assistant", "A")]
    assert good(first).sample.meta == {"column 3": "1"}
    faults = [found for found in rest if isinstance(found, Quarantined)]
    assert [fault.where for fault in faults] == [f"{path}:{n}" for n in (5, 6, 7, 8, 9)]
    kept = [fault.raw.encode("utf8", "surrogateescape") for fault in faults]
    assert kept == [b"Q,,2", b"Q,A", b'Q,"A"x,3', b"Q,\xff,4", b'Q,"A']
    for fault, why in zip(
        faults, ["'output' is empty", "2 fields", "','", "UTF-8", "unexpected end"], strict=True
    ):
        assert why in fault.reason


def test_a_table_cell_may_be_longer_than_the_default_limit_and_hold_nul(tmp_path: Path) -> None:
    long = "\0x" + "word " * 40_000
    path = saved(tmp_path, as_table([{"instruction": "Q", "output": long}]), "pool.csv")
    assert everything(path) == [[QA[0], ("assistant", long)]]


# books


def test_every_record_comes_out_exactly_once_in_order(tmp_path: Path) -> None:
    rows: list[object] = [GOOD, {"messages": CHAT}, [1], {"foo": 1}, {"question": "Q"}] * 30
    lines = [json.dumps(row) for row in rows] + ["{", "\\", '"\\ud800"']
    path = saved(tmp_path, "\n\n".join(lines))
    found = list(read(path))
    texts = [f.sample.record if isinstance(f, Read) else f.raw for f in found]
    assert texts == lines
    assert sum(isinstance(f, Read) for f in found) == 60


PIECES = st.sampled_from(
    [b'{"instruction": "Q", "output": "A"}', b"\n", b"\r", b"\xff", b"[", b"]", b"{", b",", b"\0"]
)


def check_books(path: Path) -> None:
    """Whatever the file holds: an error of ours, or samples and reasons, the same twice."""
    try:
        found = list(read(path))
    except RecordError:
        return
    assert found
    assert all(isinstance(thing, Read | Quarantined) for thing in found)
    for thing in found:
        if isinstance(thing, Read):
            assert thing.sample.instruction.strip()
            assert thing.sample.response.strip()
            thing.sample.record.encode()
    assert list(read(path)) == found


QUICK = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.json", "pool.csv", "pool"])
@QUICK
@given(content=st.binary(max_size=200) | st.lists(PIECES, max_size=12).map(b"".join))
def test_any_bytes_give_an_error_of_ours_or_balanced_books(
    tmp_path: Path, name: str, content: bytes
) -> None:
    check_books(saved(tmp_path, content, name))


NAMES = [*sorted({name for shape in SHAPES for name in shape.used}), "role", "content", "x"]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
) | st.sampled_from(["user", "assistant", "A", "text"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "label", "A", "B"]), inner
        )
    ),
    max_leaves=8,
)


@QUICK
@given(rows=st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5), max_size=4))
def test_any_objects_come_out_once_each(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = saved(tmp_path, "".join(json.dumps(row) + "\n" for row in [GOOD, *rows]))
    check_books(path)
    assert len(list(read(path))) == len(rows) + 1


@pytest.mark.parametrize("name", REAL_ROWS)
def test_real_files_are_read_whole(name: str) -> None:
    if not (REAL / name).is_file():
        pytest.skip(f"{REAL / name} is not on this machine")
    rows, shape = REAL_ROWS[name]
    found = list(read(REAL / name))
    assert [thing for thing in found if isinstance(thing, Quarantined)] == []
    assert {thing.shape for thing in found if isinstance(thing, Read)} == {shape}
    assert len(found) == rows


def test_a_context_column_is_the_input(tmp_path: Path) -> None:
    path = tmp_path / "dolly.jsonl"
    path.write_text('{"instruction": "Who?", "context": "Ada wrote it.", "response": "Ada."}\n')
    (found,) = read(path)
    assert isinstance(found, Read)
    assert found.sample.turns[0].content == "Who?\n\nAda wrote it."
    assert found.sample.input == "Ada wrote it."
