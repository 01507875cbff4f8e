"""Commands that measure: scores, maps, near-duplicates."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import click

from core.cli.root import (
    answers_options,
    cli,
    echo,
    executor_options,
    model_options,
    note,
    pairs,
    progress,
    short,
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
            model_options,
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
@click.option("--dry-run", is_flag=True, help="Tell time and disk; measure and train nothing.")
@_run_options
@answers_options
@executor_options
def score(
    pool: str,
    method: str | None,
    every: bool,
    params: tuple[str, ...],
    dry_run: bool,
    executor: Any,
    workers: int | None,
    ray_address: str | None,
    ray_share: str | None,
    answers_endpoint: str | None,
    answers_model: str,
    answers_concurrency: int,
    **options: Any,
) -> None:
    """Score POOL with METHOD. Goes on where a stopped run was; the same again is free."""
    from core import executors, runs
    from core.domain import RunSpec

    if bool(method) == every:
        raise click.UsageError("Give a METHOD, or --all.")
    server = _server(answers_endpoint, answers_model, answers_concurrency)
    spec = RunSpec(pool, method or "", pairs(params, "--set"), **options, answers=server)
    if dry_run:
        _foretold(spec, executor, workers)
        return
    with executors.opened(executor, workers, ray_address, ray_share) as opened:
        if not method:
            _score_all(spec, opened)
            return
        _told(runs.execute(spec, progress(), opened))
    echo(f"next: sftlens select {pool} --method {method} --budget 10% --out DIR")


def _server(url: str | None, model: str, at_once: int) -> Any:
    """The server that draws the answers, None without one."""
    from core.endpoints import Endpoint

    if url is None and model:
        raise click.UsageError("--answers-model needs --answers-endpoint URL.")
    return None if url is None else Endpoint(url, model, at_once)


def _score_all(spec: Any, executor: Any) -> None:
    """Every method and every map."""
    from core import mapping, runs

    for finished in runs.execute_all(spec, progress(), executor):
        _told(finished)
    if not spec.query:
        note("methods that need a query set were left out; name one with --query")
    for made in mapping.make_all(spec.pool, progress(), executor):
        echo(f"map {made.map_id}: {made.of}, {made.n:,} samples, {len(made.labels)} clusters")


def _foretold(spec: Any, executor: str, workers: int | None) -> None:
    """What the run would take."""
    from core import forecast

    def timed(kind: str, said: str) -> None:
        note(f"timed {kind}: {said}")

    found = forecast.forecast(spec, timed, workers=1 if executor == "serial" else workers)
    for line in forecast.lines(found):
        echo(line)
    if not spec.method:
        note("the maps, which come last, are not counted")


def _told(finished: Any) -> None:
    """One line about a run."""
    run = finished.run
    how = "was there already" if finished.reused else f"took {run.seconds:.1f} s"
    scored = f"{run.n_scored:,} of {run.n:,} samples scored"
    echo(f"run {run.run_id}: {run.method}, {scored}, {how}")


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
    from core import executors, mapping

    with executors.opened() as opened:
        made = mapping.make(pool, of, seed, progress(), opened)
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
    from core import duplicates as near
    from core import store
    from core.store import views

    groups = near.members(near.groups(pool, threshold, by))
    with store.connect() as con:
        frame = views.previews(con, pool, [int(row) for rows in groups for row in rows])
    shown = zip(frame["sample_id"], frame["source"], frame["preview"], strict=True)
    for rows in groups:
        echo(f"{len(rows):,} samples")
        for sample_id, source, preview in islice(shown, len(rows)):
            echo(f"  {sample_id[:8]}  {source:10}  {short(preview)}")
    extra = sum(len(rows) - 1 for rows in groups)
    echo(f"{len(groups):,} groups; {extra:,} samples repeat another")


@cli.command()
@click.argument("pool")
@click.argument("sample_id")
@click.option("--run", "run_id", required=True, help="The run whose checkpoints are asked.")
def heat(pool: str, sample_id: str, run_id: str) -> None:
    """Measure NLL and entropy of every response token of a sample, for the Reader page."""
    from core import heat as on_demand

    for role, found in on_demand.measure(pool, sample_id, run_id).items():
        nll, entropy = found.nll.mean(), found.entropy.mean()
        echo(f"{role}: {len(found.nll):,} tokens, NLL {nll:.4f}, entropy {entropy:.4f} nats/token")
