"""A subset as files a trainer reads, with a manifest from which the same bytes are made again."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core import access, companions, files, links
from core.errors import ManifestError
from core.fetching import in_order
from core.manifest import manifest, seeds
from core.recipe import Recipe
from core.rules import Range
from core.selection import Selection, select
from core.trainer_shapes import SHAPES, Shape, alternates, loses_turn, schema

FileKind = Literal["jsonl", "parquet"]
CHUNK = 2048  # records of a row group
BEGUN = ".exporting"  # there while files get their names: a kill leaves some and no manifest


@dataclass(frozen=True)
class Layout:
    """How a subset is written."""

    shape: Shape = "alpaca"
    file: FileKind = "jsonl"
    scores: bool = False  # adds sftlens_id, sftlens_score and sftlens_reason to each record
    rejected: bool = False  # writes the rejected side too
    extras: bool = False  # writes what trainers load it with, a dataset card and a report


@dataclass
class _Seen:
    """What the records of one file turned out to have."""

    notes: Counter[str] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    uneven: int = 0  # conversations in which turns do not alternate


@access.acts("export", lambda recipe, layout, out: f"{recipe.pool} {recipe.key} to {out.name}")
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
    seen = {name: _Seen() for name in sides}
    try:
        _check_folder(out, [*sides, *(companions.NAMES if layout.extras else ())])
        with ExitStack() as stack:  # no file gets its name before all of them are whole
            for name, rows in sides.items():
                part = stack.enter_context(files.whole(out / name))
                _write(part, _records(selection, layout, rows.tolist(), seen[name]), layout)
                written[name] = {"rows": len(rows), **files.digest(part)}
            for name, text in _beside(selection, layout, written, next(iter(seen.values()))):
                part = stack.enter_context(files.whole(out / name))
                part.write_text(text, "utf8", newline="\n")
                written[name] = {"rows": text.count("\n"), **files.digest(part)}
            (out / BEGUN).touch()
            (out / "manifest.json").unlink(missing_ok=True)  # it speaks of the files before
        notes = sum((side.notes for side in seen.values()), Counter[str]())
        made = manifest(selection, vars(layout), written, notes)
        files.write_json(out / "manifest.json", made)
        (out / BEGUN).unlink()
    except OSError as error:
        do = "Free some space, or give another folder: --out DIR."
        got = error.strerror or str(error)
        raise ManifestError(out, "the files cannot be written", got=got, do=do) from error
    return made


def _beside(
    selection: Selection, layout: Layout, written: dict[str, Any], seen: _Seen
) -> list[tuple[str, str]]:
    """File name and text of what goes beside the records, of which the subset has what is seen."""
    if not layout.extras:
        return []
    told = (selection, layout.shape, dict(written), seen.columns, seen.uneven)
    return list(companions.companions(*told, seeds(selection)).items())


def _check_folder(out: Path, names: Sequence[str]) -> None:
    """Refuse a folder with anything but an earlier export of the same files, or its replay."""
    files.sweep(out)
    there = {p.name for p in out.glob("[!.]*")}  # a hidden one is what a kill or a system left
    others = there - {"manifest.json", "replay", *names}
    ours = "manifest.json" in there or (out / BEGUN).is_file()
    if others or (there and not ours):
        do = "Give a new or empty folder: --out DIR."
        got = sorted(others or there)[:3]
        raise ManifestError(out, "the folder holds other files", got=got, do=do)


def preview(selection: Selection, layout: Layout, rows: int) -> list[dict[str, Any]]:
    """The first records that `export` would write into the subset."""
    return list(_records(selection, layout, selection.subset.chosen[:rows].tolist(), _Seen()))


def command(recipe: Recipe, layout: Layout, out: str) -> str:
    """The command line that writes the same files.

    What has an option of its own is spelled out; a recipe with more is given whole, packed.
    """
    plain = all(isinstance(rule, Range) and not rule.run for rule in recipe.rules)
    if not plain or recipe.distinct or recipe.quotas or recipe.pins:
        words = ["sftlens", "select", recipe.pool, "--recipe", links.pack(recipe)]
    else:
        words = _spelled(recipe)
    words += ["--shape", layout.shape, "--file", layout.file]
    switches = {"--scores": layout.scores, "--rejected": layout.rejected, "--extras": layout.extras}
    words += [word for word, on in switches.items() if on]
    return shlex.join([*words, "--out", out])


def _spelled(recipe: Recipe) -> list[str]:
    words = ["sftlens", "select", recipe.pool, "--method", recipe.method, "--run", recipe.run_id]
    words += ["--budget", recipe.budget, "--policy", recipe.policy]
    for name, value in recipe.policy_params.items():
        words += ["--policy-set", f"{name}={value}"]
    for name, value in recipe.params.items():
        words += ["--set", f"{name}={value}"]
    for rule in recipe.rules:
        if isinstance(rule, Range):
            words += [word for bound in rule.bounds() for word in ("--rule", bound)]
    return words


def _records(
    selection: Selection, layout: Layout, rows: Sequence[int], seen: _Seen
) -> Iterator[dict[str, Any]]:
    """Records of these rows in the layout's shape, a window of texts in memory at a time."""
    found = in_order(selection.run.pool, np.asarray(rows, np.int64))
    for row, sample in zip(rows, found, strict=True):
        if loses_turn(sample, layout.shape):
            seen.notes["user turn after the last answer left out"] += 1
        record = SHAPES[layout.shape](sample)
        seen.columns.update(record)
        seen.uneven += not alternates(sample)
        yield record | (_score_columns(selection, row) if layout.scores else {})


def _score_columns(selection: Selection, row: int) -> dict[str, Any]:
    value = float(selection.scores.value[row])
    return {
        "sftlens_id": selection.ids[row],
        "sftlens_score": None if np.isnan(value) else value,
        "sftlens_reason": selection.subset.names[selection.subset.code[row]],
    }


def _write(path: Path, records: Iterator[dict[str, Any]], layout: Layout) -> None:
    if layout.file == "jsonl":
        with path.open("w", encoding="utf8", newline="\n") as out:
            for record in records:
                out.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = schema(layout.shape, scores=layout.scores)
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        chunk: list[dict[str, Any]] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == CHUNK:
                writer.write_table(pa.Table.from_pylist(chunk, columns))
                chunk = []
        writer.write_table(pa.Table.from_pylist(chunk, columns))
