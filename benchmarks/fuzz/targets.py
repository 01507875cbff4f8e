"""What is fuzzed: each target makes an input from a seed, and says what became of it."""

import json
import os
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fuzz import seeds
from benchmarks.fuzz.mutations import as_json, linked, mutated, packed, twisted
from core import (
    export,
    json_records,
    links,
    pools,
    readers,
    records,
    replay,
    runs,
    score_files,
    selection,
)
from core.domain import Quarantined, RunSpec
from core.errors import LONGEST, SFTLensError
from core.recipe import Recipe

WHOLE_EVERY = 500  # inputs, of which one is imported into a store


class Broken(Exception):
    """An input that was taken, and whose outcome does not add up."""


@dataclass(frozen=True)
class Target:
    """Makes an input out of a seed, and tries it; `try_` returns what became of it."""

    make: Callable[[random.Random], bytes]
    try_: Callable[[Path, bytes, int], str]


def refusal(error: SFTLensError) -> str:
    """Check that an error is one line that a terminal can show."""
    line = str(error)
    if not line.isprintable() or len(line) > LONGEST + 10:
        raise Broken(f"not one line: {line[:200]!r}")
    return "refused"


def read_file(path: Path, data: bytes, number: int) -> str:
    """Read a file of records: each comes out once, as a sample or as a reason."""
    path.write_bytes(data)
    try:
        found = list(records.read(path))
    except SFTLensError as error:
        return refusal(error)
    raw = sum(1 for _ in readers.records(path))
    bad = [item for item in found if isinstance(item, Quarantined)]
    if len(found) != raw:
        raise Broken(f"{raw} records, {len(found)} outcomes")
    for item in bad:
        if not item.reason.isprintable() or not item.where.startswith(str(path)):
            raise Broken(f"a reason that is no line: {item.where}: {item.reason!r}")
    if number % WHOLE_EVERY == 0:
        _import(path)
    return "quarantined" if bad else "read"


def _import(path: Path) -> None:
    """Import the file into a store of its own; the books must balance."""
    before = os.environ.get("SFTLENS_CACHE", "")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SFTLENS_CACHE"] = cache
        try:
            books, pool = pools.import_files([path], "fuzzed")
        except SFTLensError as error:
            refusal(error)
            return
        finally:
            os.environ["SFTLENS_CACHE"] = before
    total = books.imported + books.duplicates + books.quarantined
    if books.read != total or len(pool) != books.imported:
        raise Broken(books.sentence())


def read_windows(path: Path, data: bytes, number: int) -> str:
    """Read an array through windows of a few characters: the same as through one of all."""
    path.write_bytes(data)
    told, whole = _through(path, 2**30)
    if (told, whole) != _through(path, 1 + number % 97):
        raise Broken(f"other records through a window of {1 + number % 97}")
    return told


def _through(path: Path, window: int) -> tuple[str, str]:
    before, json_records.WINDOW = json_records.WINDOW, window
    try:
        return "read", repr(list(readers.records(path)))
    except SFTLensError as error:
        return refusal(error), str(error)
    finally:
        json_records.WINDOW = before


def read_scores(path: Path, data: bytes, _: int) -> str:
    """Read a file of scores: a number or NaN for each key and column."""
    path.write_bytes(data)
    try:
        found = score_files.read(path, "id")
    except SFTLensError as error:
        return refusal(error)
    if any(len(column) != len(found.keys) for column in found.numbers.values()):
        raise Broken("columns of different lengths")
    return "read"


def follow(_: Path, data: bytes, number: int) -> str:
    """Unpack a link; what it gives packs into a link that gives the same."""
    try:
        recipe = links.unpack(data.decode("latin1"))
    except SFTLensError as error:
        return refusal(error)
    if links.unpack(links.pack(recipe)).key != recipe.key:
        raise Broken("another recipe after packing")
    return "read"


def apply(_: Path, data: bytes, number: int, loaded: Any) -> str:
    """Load a recipe and apply it to a run."""
    try:
        recipe = Recipe.load(json.loads(data))
        if recipe.run_id == loaded.run.run_id:
            selection.select(recipe, loaded)
    except SFTLensError as error:
        return refusal(error)
    return "read"


def load_manifest(path: Path, data: bytes, _: int) -> str:
    """Read a manifest as a replay does."""
    path.write_bytes(data)
    try:
        replay.read_manifest(path)
    except SFTLensError as error:
        return refusal(error)
    return "read"


def of_files(folder: Path) -> Mapping[str, Target]:
    """Every reader of records, by the name that its files end in, and that of scores."""
    parquets = seeds.parquets(folder)
    lines = [seeds.jsonl(), *(seeds.jsonl([row]) for row in seeds.ROWS)]
    plain = {
        "jsonl": lambda rng: _rows(rng, lines),
        "json": lambda rng: mutated(rng, arrays),
        "csv": lambda rng: mutated(rng, commas),
        "tsv": lambda rng: mutated(rng, tabs),
        "parquet": lambda rng: _parquet(rng, parquets),
    }
    arrays, commas, tabs = seeds.arrays(), seeds.tables(","), seeds.tables("\t")
    found = {name: Target(make, read_file) for name, make in plain.items()}
    for name, make in plain.items():
        found[f"{name}.gz"] = Target(partial(_packed, make), read_file)
    found["window.json"] = Target(plain["json"], read_windows)
    scores = [seeds.jsonl(seeds.SCORES), *seeds.tables(",", seeds.SCORES), parquets[-6]]
    found["scores"] = Target(lambda rng: mutated(rng, scores), read_scores)
    return found


def _packed(make: Callable[[random.Random], bytes], rng: random.Random) -> bytes:
    return packed(rng, make(rng))


def _rows(rng: random.Random, lines: list[bytes]) -> bytes:
    if rng.random() < 0.4:
        return b"".join(as_json(rng, seeds.odd_row(rng)) + b"\n" for _ in range(3))
    return mutated(rng, lines)


def _parquet(rng: random.Random, whole: list[bytes]) -> bytes:
    """Mostly broken in the footer, which says what all other bytes mean."""
    data = rng.choice(whole)
    if rng.random() < 0.5:
        return mutated(rng, [data])
    footer = 8 + int.from_bytes(data[-8:-4], "little")
    return data[:-footer] + mutated(rng, [data[-footer:-8]]) + data[-8:]


def of_documents(folder: Path) -> Mapping[str, Target]:
    """Recipes, links and manifests, on a small run with the fake engine."""
    made = folder / "pool.jsonl"
    rows = ({"instruction": f"Say {k}", "output": "one " * (k % 5 + 1)} for k in range(40))
    made.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([made], "pool")
    run = runs.execute(RunSpec("pool", "differential_entropy", model="fake", device="cpu")).run
    loaded = selection.load(run.run_id)
    recipe: dict[str, Any] = {
        "pool": "pool",
        "method": run.method,
        "run_id": run.run_id,
        "params": {"trim_low": 0.1},
        "rules": [
            {"column": "n_tokens", "low": 1.0, "high": 99.0},
            {"column": "source", "values": ["pool"], "keep": True},
            {"text": "Say", "keep": True},
        ],
        "policy": "top",
        "budget": "10%",
        "quotas": {"pool": 9},
        "pins": [{"sample_id": loaded.ids[0], "keep": True}],
    }
    manifest = export.export(Recipe.load(recipe), export.Layout(), folder / "out")

    def recipes(rng: random.Random) -> bytes:
        return json.dumps(twisted(rng, recipe)).encode()

    def manifests(rng: random.Random) -> bytes:
        whole = json.dumps(twisted(rng, manifest)).encode()
        return mutated(rng, [whole]) if rng.random() < 0.3 else whole

    return {
        "recipes": Target(recipes, partial(apply, loaded=loaded)),
        "links": Target(lambda rng: linked(rng, recipes(rng)).encode("latin1", "replace"), follow),
        "manifests": Target(manifests, load_manifest),
    }
