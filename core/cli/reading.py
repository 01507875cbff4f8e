"""Commands that bring something in: records, and scores from elsewhere."""

import sys
from pathlib import Path
from typing import Any

import click

from core.cli.root import cli, echo, note, pairs, progress, short
from core.domain import PoolKind


@cli.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--pool", "pool", help="Name of the pool to make or extend (default: the file's).")
@click.option("--query", "query", help="Import a query set under this name instead.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Name a column: instruction, input, response, system, messages, source, id.",
)
@click.option("--limit", type=click.IntRange(1), help="Read only the first N records of each file.")
@click.option("--yes", is_flag=True, help="Do not ask before writing.")
def import_(
    files: tuple[Path, ...],
    pool: str | None,
    query: str | None,
    maps: tuple[str, ...],
    limit: int | None,
    yes: bool,
) -> None:
    """Read JSONL, JSON, Parquet, CSV or TSV files (also .gz) into a pool."""
    from core import pools

    if pool and query:
        raise click.UsageError("Give --pool or --query, not both.")
    mapping = pairs(maps, "--map") or None
    name = query or pool or files[0].name.split(".")[0]
    kind: PoolKind = "query" if query else "pool"
    for path in files:
        look = pools.preview(path, mapping)
        shapes = ", ".join(f"{shape} ({n})" for shape, n in look.shapes.items())
        note(f"{path}: {shapes or 'no record recognised'} among the first 100 records")
        for sample in look.samples if path == files[0] else ():
            note(f"  ▸ {short(sample.instruction)}\n    → {short(sample.response)}")
    what = "query set" if query else "pool"
    asked = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    if asked and not click.confirm(f"Import into {what} {name!r}?", err=True, default=True):
        note("nothing was imported")
        return
    books, made = pools.import_files(files, name, kind, mapping, limit, progress())
    echo(f"{what} {name}: {books.sentence()}; now {len(made):,} samples")
    for line in books.first_quarantined:
        note(f"quarantined {line}")
    if books.quarantine_file:
        note(f"all quarantined records, unchanged: {books.quarantine_file}")


@cli.command()
def pools() -> None:
    """List pools and query sets."""
    from core import store
    from core.store import views

    with store.connect() as con:
        frame = views.pools(con)
    for row in frame.itertuples():
        echo(
            f"{row.pool:24} {row.kind:6} {row.n:>9,} samples  {row.sources:>3} sources"
            f"  {row.fingerprint}"
        )


@cli.command("score-import")
@click.argument("pool")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    default="id",
    show_default=True,
    help="Column that the file and the pool's records share, or sample_id.",
)
@click.option("--score", default="", help="Column to rank by (default: score, or the only one).")
@click.option("--name", default="", help="Name the scores go by (default: the file's).")
@click.option("--higher/--lower", default=True, help="Which scores are chosen first.")
def score_import(pool: str, file: Path, key: str, score: str, name: str, higher: bool) -> None:
    """Join the scores of FILE (CSV, TSV, Parquet, JSONL) to POOL, as a run of its own."""
    from core import external

    order: Any = "higher" if higher else "lower"
    made = external.import_scores(pool, file, key, score, name, order)
    echo(f"run {made.run.run_id}: {made.sentence()}")
    echo(
        f"next: sftlens select {pool} --method external --run {made.run.run_id}"
        " --budget 10% --out DIR"
    )
