"""Valid files to break: every shape of record in every format, scores, a recipe and a manifest."""

import csv
import datetime
import io
import json
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.fuzz.mutations import hostile
from core.shapes import SHAPES

CHAT = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
ROWS: tuple[Mapping[str, Any], ...] = (
    {"instruction": "Count to 3", "input": "slowly", "output": "1 2 3", "id": 7, "score": 0.5},
    {"instruction": "Go on", "output": "4", "history": [["Count", "1 2 3"]], "system": "Be brief"},
    {"messages": CHAT, "source": "chats"},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    {"question": "Which?", "options": {"A": "this", "B": "that"}, "answer_idx": "B"},
    {"question": "Which?", "choices": {"label": ["A", "B"], "text": ["x", "y"]}, "answerKey": "A"},
    {"question": "Which?", "options": ["x", "y"], "answer": 1},
    {"prompt": CHAT[:1], "completion": CHAT[1:]},
    {"question": "How many?", "answer": "Two.", "body": "One and one"},
)
NAMES = sorted({name for shape in SHAPES for name in shape.used} | {"role", "content", "source"})
SCORES = [{"id": f"k{k}", "score": k / 7, "other": k, "note": "x"} for k in range(4)]


def jsonl(rows: Sequence[Mapping[str, Any]] = ROWS) -> bytes:
    """One object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def arrays() -> list[bytes]:
    """An array on one line, one over many, and objects one after another."""
    spread = "\n".join(json.dumps(row, indent=1) for row in ROWS[:3])
    return [json.dumps(ROWS).encode(), json.dumps(ROWS[:3], indent=2).encode(), spread.encode()]


def tables(delimiter: str, rows: Sequence[Mapping[str, Any]] = ROWS) -> list[bytes]:
    """Each kind of row as a table of its own, with quotes and line ends in cells."""
    made = []
    for row in rows:
        out = io.StringIO()
        table = csv.writer(out, delimiter=delimiter)
        table.writerow(row)
        table.writerow([v if isinstance(v, str) else json.dumps(v) for v in row.values()])
        table.writerow([f'a "{delimiter}"\nb' for _ in row])
        made.append(out.getvalue().encode())
    return made


def odd_row(rng: random.Random) -> dict[str, Any]:
    """A row with columns of some shape, and anything in them."""
    row = dict(rng.choice(ROWS)) if rng.random() < 0.5 else {}
    for _ in range(rng.randrange(1, 5)):
        row[rng.choice(NAMES)] = hostile(rng)
    return row


def parquets(folder: Path) -> list[bytes]:
    """Files of nested, narrow, wide and unusual types; small enough to be broken everywhere."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    now = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    unusual = {
        "instruction": ["Say when", None, ""],
        "output": ["now", "then", "never"],
        "when": [now, None, now],
        "price": [Decimal("1.5"), Decimal("-2"), None],
        "raw": [b"\xff\0", b"", None],
        "pairs": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int32())),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "half": pa.array([1.5, None, 2.0], pa.float16()),
        "day": pa.array([1, 2, None], pa.date32()),
        "span": pa.array([1, 2, None], pa.duration("ns")),
    }
    made = [pa.Table.from_pylist([dict(row)]) for row in ROWS]
    made += [pa.table(unusual), pa.Table.from_pylist(SCORES), pa.table({"instruction": []})]
    found = []
    for k, table in enumerate(made):
        for packing in ("none", "snappy", "zstd"):
            path = folder / f"seed-{k}.parquet"
            pq.write_table(table, path, compression=packing)
            found.append(path.read_bytes())
    return found
