"""A subset as files a trainer reads, with a manifest from which the same bytes are made again."""

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core import files, links, runs, store
from core.errors import ManifestError
from core.policies import build
from core.recipe import Recipe
from core.rules import Range
from core.selection import Selection, select
from core.store import pools
from core.trainer_shapes import SHAPES, Shape, loses_turn, schema

if TYPE_CHECKING:
    pass

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
    """The command line that writes the same files.

    What has an option of its own is spelled out; a recipe with more is given whole, packed.
    """
    plain = all(isinstance(rule, Range) and not rule.run for rule in recipe.rules)
    if not plain or recipe.distinct or recipe.quotas or recipe.pins:
        words = ["sftlens", "select", recipe.pool, "--recipe", links.pack(recipe)]
    else:
        words = _spelled(recipe)
    words += ["--shape", layout.shape, "--file", layout.file]
    words += ["--scores"] * layout.scores + ["--rejected"] * layout.rejected
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
    selection: Selection, layout: Layout, rows: Sequence[int], notes: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Records of these rows in the layout's shape, a chunk of texts in memory at a time."""
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        with store.connect() as con:
            samples = pools.read_samples(
                con, selection.run.pool, list(selection.ids[np.array(chunk)])
            )
        for row, sample in zip(chunk, samples, strict=True):
            if loses_turn(sample, layout.shape):
                notes["user turn after the last answer left out"] += 1
            record = SHAPES[layout.shape](sample)
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
        "recipe": selection.recipe.plain(),
        "recipe_key": selection.recipe.key,
        "layout": vars(layout),
        "counts": {
            "samples": len(subset.chosen),
            "response_tokens": subset.tokens,
            "by_reason": subset.counts(),
        },
        "notes": dict(notes),
        "policy_notes": list(subset.notes),
        "files": written,
        "seeds": _seeds(selection),
        "versions": runs.versions(),
    }


def _seeds(selection: Selection) -> dict[str, Any]:
    """Every seed that the subset depends on; that of the policy by the name `policy_seed`."""
    recipe = selection.recipe
    policy = build(recipe.policy, recipe.policy_params).model_dump()
    seeds = {k: v for k, v in selection.run.params.items() if k.endswith("seed")}
    return seeds | {f"policy_{k}": v for k, v in policy.items() if k.endswith("seed")}
