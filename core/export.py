"""A subset as files a trainer reads, with a manifest from which the same bytes are made again."""

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from core import files, runs, store
from core.domain import Sample, Turn
from core.errors import ManifestError
from core.recipe import Recipe
from core.selection import Selection, select
from core.store import pools
from core.store import runs as stored

if TYPE_CHECKING:
    import pyarrow as pa

Shape = Literal["alpaca", "messages", "sharegpt"]
FileKind = Literal["jsonl", "parquet"]
CHUNK = 2048  # samples in memory at a time
MANIFEST = 1  # version of the manifest's own layout


@dataclass(frozen=True)
class Layout:
    """How a subset is written."""

    shape: Shape = "alpaca"
    file: FileKind = "jsonl"
    scores: bool = False  # adds sftlens_id, sftlens_score and sftlens_reason to each record
    rejected: bool = False  # writes the rejected side too


@dataclass(frozen=True)
class Replayed:
    """What a replay made, and what differs from the manifest (empty: nothing)."""

    folder: Path
    files: tuple[str, ...]
    differences: tuple[str, ...]


def to_messages(sample: Sample) -> dict[str, Any]:
    """OpenAI messages: `{"messages": [{"role", "content"}]}`."""
    return {"messages": [{"role": t.role, "content": t.content} for t in sample.turns]}


def to_sharegpt(sample: Sample) -> dict[str, Any]:
    """ShareGPT: `{"conversations": [{"from", "value"}]}` with human, gpt and system."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return {"conversations": [{"from": names[t.role], "value": t.content} for t in sample.turns]}


def to_alpaca(sample: Sample) -> dict[str, Any]:
    """Alpaca: instruction, input, output; with system and history only where there are any.

    Neighbouring turns of one role are joined by a blank line. A user turn after the last
    answer has no place in this shape; see `loses_turn`.
    """
    system = "\n\n".join(t.content for t in sample.turns if t.role == "system")
    pairs: list[list[str]] = []
    before = ""
    for turn in (t for t in sample.turns if t.role != "system"):
        if turn.role == "user":
            pairs += [[turn.content, ""]] if before != "user" else []
            if before == "user":
                pairs[-1][0] += f"\n\n{turn.content}"
        else:
            pairs[-1][1] += turn.content if before == "user" else f"\n\n{turn.content}"
        before = turn.role
    answered = [pair for pair in pairs if pair[1]]
    instruction, output = answered[-1]
    alone = len(answered) == 1 and sample.input
    record = {
        "instruction": instruction.removesuffix(f"\n\n{sample.input}") if alone else instruction,
        "input": sample.input if alone else "",
        "output": output,
    }
    record |= {"system": system} if system else {}
    return record | ({"history": answered[:-1]} if len(answered) > 1 else {})


def loses_turn(sample: Sample, shape: Shape) -> bool:
    """Whether the shape cannot hold the sample's last turn."""
    last: Turn = sample.turns[-1]
    return shape == "alpaca" and last.role == "user"


SHAPES: dict[Shape, Callable[[Sample], dict[str, Any]]] = {
    "alpaca": to_alpaca,
    "messages": to_messages,
    "sharegpt": to_sharegpt,
}


def export(recipe: Recipe, layout: Layout, out: Path) -> dict[str, Any]:
    """Write the subset (and the rejected side) with a manifest; returns the manifest.

    The chosen samples stand in the order of choice, the rejected ones in pool order.

    Raises:
        RunError, BudgetError: see `selection.select`.
        ManifestError: the folder holds files of another export, or cannot be written.
    """
    selection = select(recipe)
    subset = selection.subset
    sides = {f"subset.{layout.file}": subset.chosen}
    if layout.rejected:
        sides[f"rejected.{layout.file}"] = np.flatnonzero(~subset.mask)
    written: dict[str, Any] = {}
    notes: Counter[str] = Counter()
    try:
        _check_folder(out, list(sides))
        with ExitStack() as stack:  # no file gets its name before all of them are whole
            for name, rows in sides.items():
                part = stack.enter_context(files.whole(out / name))
                _write(part, _records(selection, layout, rows.tolist(), notes), layout)
                written[name] = {"rows": len(rows), **_digest(part)}
            (out / "manifest.json").unlink(missing_ok=True)  # it speaks of the files before
        manifest = _manifest(selection, layout, written, notes)
        files.write_json(out / "manifest.json", manifest)
    except OSError as error:
        do = "Free some space, or give another folder: --out DIR."
        got = error.strerror or str(error)
        raise ManifestError(out, "the files cannot be written", got=got, do=do) from error
    return manifest


def _check_folder(out: Path, names: Sequence[str]) -> None:
    """Refuse a folder with anything but an earlier export of the same files, or its replay."""
    there = {p.name for p in out.glob("[!.]*")}  # a hidden one is what a kill or a system left
    others = there - {"manifest.json", "replay", *names}
    if others or (there and "manifest.json" not in there):
        do = "Give a new or empty folder: --out DIR."
        got = sorted(others or there)[:3]
        raise ManifestError(out, "the folder holds other files", got=got, do=do)


def preview(selection: Selection, layout: Layout, rows: int) -> list[dict[str, Any]]:
    """The first records that `export` would write into the subset."""
    return list(_records(selection, layout, selection.subset.chosen[:rows].tolist(), Counter()))


def command(recipe: Recipe, layout: Layout, out: str) -> str:
    """The command line that writes the same files."""
    words = ["sftlens", "select", recipe.pool, "--method", recipe.method, "--run", recipe.run_id]
    words += ["--budget", recipe.budget, "--policy", recipe.policy]
    for name, value in recipe.params.items():
        words += ["--set", f"{name}={value}"]
    for rule in recipe.rules:
        words += [word for bound in rule.bounds() for word in ("--rule", bound)]
    words += ["--shape", layout.shape, "--file", layout.file]
    words += ["--scores"] * layout.scores + ["--rejected"] * layout.rejected
    return shlex.join([*words, "--out", out])


def replay(manifest_path: Path, out: Path | None = None) -> Replayed:
    """Make the files of a manifest again from the store, and compare their SHA-256.

    Written to `out`, by default a folder `replay` beside the manifest.

    Raises:
        ManifestError: not a manifest, of a newer layout, or `out` is the manifest's own folder.
        RunError: the run behind it is not in the store.
    """
    was = _read_manifest(manifest_path)
    folder = out or manifest_path.parent / "replay"
    if folder.resolve() == manifest_path.parent.resolve():
        do = "Give another folder: --out DIR."
        raise ManifestError(folder, "holds the files that the replay is compared with", do=do)
    now = _pool_now(was.recipe, was.pool)
    made = export(was.recipe, was.layout, folder)
    differences = [now] if now else []
    for name in sorted(was.files | made["files"]):
        then, found = was.files.get(name), made["files"].get(name)
        if then is None or found is None:
            differences.append(f"{name}: {'not in the manifest' if found else 'not made'}")
        elif found["sha256"] != then.sha256:
            differences.append(
                f"{name}: {found['rows']:,} rows, {then.rows:,} expected;"
                f" SHA-256 {found['sha256'][:12]}, not {then.sha256[:12]}"
            )
    if differences:
        new = made["versions"]
        differences += [
            f"{k}: {was.versions.get(k)} then, {new[k]} now"
            for k in new
            if was.versions.get(k) != new[k]
        ]
    return Replayed(folder, tuple(made["files"]), tuple(differences))


class _Written(BaseModel):
    rows: int
    sha256: str


class _Pool(BaseModel):
    fingerprint: str


class _Manifest(BaseModel):
    """The fields of a manifest that a replay reads."""

    recipe: Recipe
    layout: Layout
    pool: _Pool
    files: dict[str, _Written]
    versions: dict[str, str] = Field(default_factory=dict)


def _read_manifest(path: Path) -> _Manifest:
    manifest = files.read_json(path)
    do = "Give the manifest.json that an export wrote."
    if not path.is_file():
        raise ManifestError(path, "there is no such file", do=do)
    if not isinstance(manifest, dict) or manifest.get("manifest") != MANIFEST:
        got = manifest.get("manifest", "no version") if isinstance(manifest, dict) else "no object"
        raise ManifestError(path, "is not a manifest I can read", got=got, do=do)
    try:
        return _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        field, what = ".".join(map(str, first["loc"])), first["msg"].lower()
        raise ManifestError(path, f"its field {field} is wrong: {what}", do=do) from None


def _pool_now(recipe: Recipe, pool: _Pool) -> str:
    """What is different about the run's pool, or an empty text."""
    with store.connect() as con:
        pools.get_pool(con, recipe.pool)
        run = stored.get_run(con, recipe.run_id)
    if run is None or run.fingerprint == pool.fingerprint:
        return ""  # a missing run is the error of `select`
    return f"pool {recipe.pool}: fingerprint {run.fingerprint}, not {pool.fingerprint}"


def _records(
    selection: Selection, layout: Layout, rows: Sequence[int], notes: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Records of these rows in the layout's shape, a chunk of texts in memory at a time."""
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        with store.connect() as con:
            samples = pools.read_samples(
                con, selection.run.pool, [selection.sample_ids[i] for i in chunk]
            )
        for row, sample in zip(chunk, samples, strict=True):
            if loses_turn(sample, layout.shape):
                notes["user turn after the last answer left out"] += 1
            record = SHAPES[layout.shape](sample)
            yield record | (_score_columns(selection, row) if layout.scores else {})


def _score_columns(selection: Selection, row: int) -> dict[str, Any]:
    value = float(selection.scores.value[row])
    return {
        "sftlens_id": selection.sample_ids[row],
        "sftlens_score": None if np.isnan(value) else value,
        "sftlens_reason": str(selection.subset.verdict[row]),
    }


def _write(path: Path, records: Iterator[dict[str, Any]], layout: Layout) -> None:
    if layout.file == "jsonl":
        with path.open("w", encoding="utf8", newline="\n") as out:
            for record in records:
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(layout)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        chunk: list[dict[str, Any]] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == CHUNK:
                writer.write_table(pa.Table.from_pylist(chunk, schema))
                chunk = []
        writer.write_table(pa.Table.from_pylist(chunk, schema))


def _schema(layout: Layout) -> "pa.Schema":
    """Columns of a Parquet export; alpaca's optional ones are there, empty, in every row."""
    import pyarrow as pa

    text = pa.string()

    def turns(*names: str) -> "pa.DataType":
        return pa.list_(pa.struct([(name, text) for name in names]))

    columns = {
        "alpaca": [
            *((n, text) for n in ("instruction", "input", "output", "system")),
            ("history", pa.list_(pa.list_(text))),
        ],
        "messages": [("messages", turns("role", "content"))],
        "sharegpt": [("conversations", turns("from", "value"))],
    }[layout.shape]
    if layout.scores:
        columns += [("sftlens_id", text), ("sftlens_score", pa.float64()), ("sftlens_reason", text)]
    return pa.schema(columns)


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _manifest(
    selection: Selection, layout: Layout, written: dict[str, Any], notes: Counter[str]
) -> dict[str, Any]:
    """All that is needed to make the files again. No clock, no path: equal exports are equal."""
    run, subset = selection.run, selection.subset
    return {
        "manifest": MANIFEST,
        "pool": {"name": run.pool, "fingerprint": run.fingerprint, "samples": run.n},
        "run": {"run_id": run.run_id, "method": run.method, "params": run.params, "card": run.card},
        "recipe": selection.recipe.model_dump(mode="json"),
        "recipe_key": selection.recipe.key,
        "layout": vars(layout),
        "counts": {
            "samples": len(subset.chosen),
            "response_tokens": subset.tokens,
            "by_verdict": subset.counts(),
        },
        "notes": dict(notes),
        "files": written,
        "seeds": {k: v for k, v in run.params.items() if k.endswith("seed")},
        "versions": runs.versions(),
    }
