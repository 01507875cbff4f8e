"""The command line: parse, call, print. The app and the demo do the same through the same calls.

Exit codes: 0 done, 2 a mistake of the user (one line: where, what, got, do), 1 a fault of
SFTLens (one line with the log file's name), 130 stopped by Ctrl-C.
"""

import errno
import logging
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click

from core import __version__
from core.domain import PoolKind
from core.errors import SFTLensError


def echo(text: str) -> None:
    """What the command was asked for: to standard output."""
    click.echo(text)


def note(text: str) -> None:
    """What a person may want to know on the way: to standard error."""
    click.echo(text, err=True)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="sftlens")
@click.pass_context
def cli(context: click.Context) -> None:
    """Choose which instruction data to fine-tune on, and see why."""
    if context.invoked_subcommand is None:
        echo(context.get_help())


@cli.command()
@click.option("--app/--no-app", default=True, help="Open the app while the demo is scored.")
@click.option("--samples", type=click.IntRange(2, 160), default=160, help="Use the first N.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
def demo(app: bool, samples: int, port: int) -> None:
    """Score the demo pool with a real model, live, and open the app on it."""
    from core import app_server
    from core import demo as demo_pool

    server = app_server.start(port) if app else None
    if server:
        note(f"app: {server.url} (Ctrl-C ends it)")
    run = demo_pool.run(samples, _progress())
    echo(demo_pool.report(run))
    if server:
        note(f"app: {server.url} (Ctrl-C ends it)")
        server.wait()


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def app(port: int, host: str) -> None:
    """Open the app on what is in the store."""
    from core import app_server

    server = app_server.start(port, host)
    note(f"app: {server.url} (Ctrl-C ends it)")
    if host not in ("127.0.0.1", "localhost", "::1"):
        note("anyone who can reach this address can use the app")
    server.wait()


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
    mapping = _pairs(maps, "--map") or None
    name = query or pool or files[0].name.split(".")[0]
    kind: PoolKind = "query" if query else "pool"
    for path in files:
        look = pools.preview(path, mapping)
        shapes = ", ".join(f"{shape} ({n})" for shape, n in look.shapes.items())
        note(f"{path}: {shapes or 'no record recognised'} among the first 100 records")
        for sample in look.samples if path == files[0] else ():
            note(f"  ▸ {_short(sample.instruction)}\n    → {_short(sample.response)}")
    what = "query set" if query else "pool"
    asked = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    if asked and not click.confirm(f"Import into {what} {name!r}?", err=True, default=True):
        note("nothing was imported")
        return
    books, made = pools.import_files(files, name, kind, mapping, limit, _progress())
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


@cli.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the methods, or the parameters of one."""
    from core.methods import build, catalogue

    if name is None:
        for card in catalogue().values():
            echo(f"{card.name:24} {card.title:28} {card.paper}")
        return
    method = build(name)
    echo(f"{method.title}: {method.paper}")
    for field, spec in type(method).model_fields.items():
        echo(f"  {field:24} {spec.default!s:>8}  {spec.description}")


@cli.command()
@click.argument("name", required=False)
def policies(name: str | None) -> None:
    """List the policies that spend a budget, or the parameters of one."""
    from core.policies import build, catalogue

    if name is None:
        for card in catalogue().values():
            needs = f"  (needs {' and '.join(sorted(card.needs))})" if card.needs else ""
            echo(f"{card.name:24} {card.title:44} {card.source}{needs}")
        return
    policy = build(name)
    echo(f"{policy.title}: {policy.source}")
    for field, spec in type(policy).model_fields.items():
        echo(f"  {field:24} {spec.default!s:>8}  {spec.description}")


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `score`, which decide a run's numbers."""
    for option in reversed(
        (
            click.option(
                "--set",
                "params",
                multiple=True,
                metavar="NAME=VALUE",
                help="Set a parameter of the method (see: sftlens methods METHOD).",
            ),
            click.option(
                "--model",
                default="embedded",
                show_default=True,
                help="embedded, a hub id (org/name@revision), a folder, or a .gguf file.",
            ),
            click.option(
                "--device", default="auto", show_default=True, help="auto, cpu, cuda[:N]."
            ),
            click.option("--dtype", default="auto", show_default=True, help="auto, fp32 or bf16."),
            click.option(
                "--max-tokens",
                type=click.IntRange(2),
                default=4096,
                show_default=True,
                help="Longer samples are excluded, with that reason.",
            ),
        )
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("pool")
@click.argument("method", required=False)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Score with every method, sharing what can be, and make the maps.",
)
@click.option("--query", default="", help="The query set, for methods that need one.")
@_run_options
def score(
    pool: str, method: str | None, every: bool, params: tuple[str, ...], **options: Any
) -> None:
    """Score POOL with METHOD. Goes on where a stopped run was; the same again is free."""
    from core import mapping, runs
    from core.domain import RunSpec

    if bool(method) == every:
        raise click.UsageError("Give a METHOD, or --all.")
    spec = RunSpec(pool, method or "", _pairs(params, "--set"), **options)
    if method:
        _told(runs.execute(spec, _progress()))
        echo(f"next: sftlens select {pool} --method {method} --budget 10% --out DIR")
        return
    for finished in runs.execute_all(spec, _progress()):
        _told(finished)
    if not spec.query:
        note("methods that need a query set were left out; name one with --query")
    for made in mapping.make_all(pool, _progress()):
        echo(f"map {made.map_id}: {made.of}, {made.n:,} samples, {len(made.labels)} clusters")


def _told(finished: Any) -> None:
    """One line about a run."""
    run = finished.run
    how = "was there already" if finished.reused else f"took {run.seconds:.1f} s"
    scored = f"{run.n_scored:,} of {run.n:,} samples scored"
    echo(f"run {run.run_id}: {run.method}, {scored}, {how}")


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


@cli.command()
def status() -> None:
    """List runs that are going on, were stopped, or are done."""
    from core import jobs, store
    from core.store import views

    for job in jobs.every():
        if job.state != "done":
            spec = job.facts.get("spec", {})
            echo(f"{job.state:8} {spec.get('pool')} {spec.get('method')}: {job.sentence()}")
    with store.connect() as con:
        frame = views.runs(con)
    for row in frame.itertuples():
        old = "" if row.current else "  (the pool has grown since)"
        echo(
            f"done     {row.pool} {row.method}: {row.n_scored:,} of {row.n:,} scored in"
            f" {row.seconds:.1f} s, run {row.run_id}{old}"
        )


@cli.command()
@click.argument("pool")
@click.option("--method", required=True, help="Rank by the newest run of this method.")
@click.option("--run", "run_id", help="Rank by this run instead.")
@click.option("--budget", required=True, help="160, 10%, '5000 tokens' or '10% tokens'.")
@click.option("--policy", help="How the budget is spent (default: as the method's paper does).")
@click.option(
    "--policy-set",
    "policy_params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the policy (see: sftlens policies POLICY).",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="COLUMN<=NUMBER",
    help="Keep only samples within this bound; may be given more than once.",
)
@click.option(
    "--set",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a live parameter of the method, e.g. trim_low=0.05.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--shape", type=click.Choice(["alpaca", "messages", "sharegpt"]), default="alpaca")
@click.option("--file", "file_kind", type=click.Choice(["jsonl", "parquet"]), default="jsonl")
@click.option("--scores", is_flag=True, help="Add id, score and reason to each record.")
@click.option("--rejected", is_flag=True, help="Write the rejected side too.")
def select(
    pool: str,
    method: str,
    run_id: str | None,
    budget: str,
    policy: str | None,
    policy_params: tuple[str, ...],
    rules: tuple[str, ...],
    params: tuple[str, ...],
    out: Path,
    shape: Any,
    file_kind: Any,
    scores: bool,
    rejected: bool,
) -> None:
    """Choose a subset of a scored POOL and export it with its manifest."""
    from core import export, store
    from core.methods import build
    from core.policies import build as build_policy
    from core.policies.budget import Budget
    from core.recipe import Recipe, Rule
    from core.store import runs as stored

    changed = _pairs(params, "--set")
    typed = build(method).with_params(changed)
    spent = _pairs(policy_params, "--policy-set")
    by = build_policy(policy or typed.policy, spent)
    Budget.parse(budget)
    with store.connect() as con:
        run_id = run_id or stored.newest_run(con, pool, method).run_id
    recipe = Recipe(
        pool=pool,
        method=method,
        run_id=run_id,
        params={name: getattr(typed, name) for name in changed},
        rules=Rule.parse_all(rules),
        policy=by.name,
        policy_params={name: getattr(by, name) for name in spent},
        budget=budget,
    )
    layout = export.Layout(shape, file_kind, scores, rejected)
    manifest = export.export(recipe, layout, out)
    for verdict, n in manifest["counts"]["by_verdict"].items():
        echo(f"{n:>9,}  {verdict}")
    for name, facts in manifest["files"].items():
        echo(f"{out / name}: {facts['rows']:,} rows, SHA-256 {facts['sha256'][:16]}")
    for text in manifest["policy_notes"]:
        note(text)
    for text, n in manifest["notes"].items():
        note(f"{n:,} x {text}")
    echo(f"again: sftlens replay {out / 'manifest.json'}")


@cli.command("map")
@click.argument("pool")
@click.option(
    "--of",
    type=click.Choice(["instructions", "gradients", "answers"]),
    default="instructions",
    show_default=True,
    help="Whose vectors are laid out.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
def map_(pool: str, of: Any, seed: int) -> None:
    """Lay POOL out on a map with clusters, neighbours and near-duplicates. Again is free."""
    from core import mapping

    made = mapping.make(pool, of, seed, _progress())
    echo(f"map {made.map_id}: {made.n:,} samples, {len(made.labels)} clusters")
    for number, label in enumerate(made.labels):
        echo(f"{number:>4}  {label}")
    if made.note:
        note(made.note)
    echo(f"next: sftlens duplicates {pool}")


@cli.command()
@click.argument("pool")
@click.option("--threshold", type=float, help="Least similarity (default: 0.95, or 0.7 minhash).")
@click.option(
    "--by",
    type=click.Choice(["cosine", "minhash"]),
    default="cosine",
    show_default=True,
    help="Meaning (cosine of embeddings), or wording (Jaccard index of characters).",
)
def duplicates(pool: str, threshold: float | None, by: Any) -> None:
    """List groups of near-duplicate instructions of a mapped POOL, each with its first words."""
    from core import mapping, store
    from core.store import views

    groups = mapping.members(mapping.duplicates(pool, threshold, by))
    with store.connect() as con:
        frame = views.previews(con, pool, [int(row) for rows in groups for row in rows])
    shown = zip(frame["sample_id"], frame["source"], frame["preview"], strict=True)
    for rows in groups:
        echo(f"{len(rows):,} samples")
        for sample_id, source, preview in islice(shown, len(rows)):
            echo(f"  {sample_id[:8]}  {source:10}  {_short(preview)}")
    extra = sum(len(rows) - 1 for rows in groups)
    echo(f"{len(groups):,} groups; {extra:,} samples repeat another")


@cli.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder (default: replay, beside it).")
def replay(manifest: Path, out: Path | None) -> None:
    """Make the files of MANIFEST again from the store, byte for byte, or say what differs."""
    from core import replay as again
    from core.errors import ManifestError

    made = again.replay(manifest, out)
    if made.differences:
        do = "The files made now are in " + str(made.folder) + "."
        raise ManifestError(manifest, "the replay differs: " + "; ".join(made.differences), do=do)
    echo(f"identical: {', '.join(made.files)} in {made.folder}")


@cli.command()
def doctor() -> None:
    """Check versions, device, speed of the number formats, model and store."""
    from core import doctor as checks

    for line in checks.report():
        echo(line)


def _progress() -> Any:
    from core.progress import Progress

    return Progress()


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """`("a=1", "b=2")` as a mapping."""
    for text in texts:
        if not text.partition("=")[1] or not text.partition("=")[0].strip():
            raise click.UsageError(f"{option} takes NAME=VALUE. Got {text!r}.")
    return {t.partition("=")[0].strip(): t.partition("=")[2].strip() for t in texts}


def _short(text: str, width: int = 92) -> str:
    line = "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def main() -> None:
    """Run a command; turn every error into one line and an exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # `kill`, `docker stop` and the app's Stop button end a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(standalone_mode=False, prog_name="sftlens")
    except SystemExit:
        sys.exit(0)  # click's answer when the reader has gone: sftlens pools | head -1
    except SFTLensError as error:
        _end(str(error), 2)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        do = f" See: {where} --help." if where else ""
        _end(" ".join(error.format_message().split()) + do, 2)
    except (KeyboardInterrupt, click.Abort):
        _end("stopped; what was measured is kept, and the same command goes on from there", 130)
    except Exception as error:
        _fault(error)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fault(error: Exception) -> None:
    """A full or read-only disk is the user's to mend; anything else is ours, and logged."""
    from core import config

    full = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EPERM)
    if isinstance(error, OSError) and error.errno in full:
        _end(str(config.unwritable(error)), 2)
    text = "".join(traceback.format_exception(error))
    try:
        log = config.folder("logs") / f"fault-{time.strftime('%Y%m%d-%H%M%S')}.txt"
        log.write_text(f"sftlens {__version__}\n{sys.argv[1:]}\n{text}", "utf8")
    except (OSError, SFTLensError):
        log = Path("(no log could be written)")
    _end(f"a fault of SFTLens, not yours: {type(error).__name__}. Log: {log}", 1)


def _end(line: str, code: int) -> None:
    note(f"error: {line}" if code != 130 else line)
    sys.exit(code)


if __name__ == "__main__":
    main()
