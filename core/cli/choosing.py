"""Commands that choose: policies, subsets, and the same subset again."""

from pathlib import Path
from typing import Any

import click

from core.cli.root import cli, echo, note, pairs


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


@cli.command()
@click.argument("pool")
@click.option(
    "--recipe",
    "whole",
    metavar="NAME",
    help="A saved recipe (NAME or NAME@VERSION), or the text of a link's recipe.",
)
@click.option("--method", help="Rank by the newest run of this method.")
@click.option("--run", "run_id", help="Rank by this run instead.")
@click.option("--budget", help="160, 10%, '5000 tokens' or '10% tokens'.")
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
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--sql", is_flag=True, help="Print the rules as one SQL statement, and end.")
@click.option("--shape", type=click.Choice(["alpaca", "messages", "sharegpt"]), default="alpaca")
@click.option("--file", "file_kind", type=click.Choice(["jsonl", "parquet"]), default="jsonl")
@click.option("--scores", is_flag=True, help="Add id, score and reason to each record.")
@click.option("--rejected", is_flag=True, help="Write the rejected side too.")
@click.option("--extras", is_flag=True, help="Write trainer files, a dataset card and a report.")
def select(
    pool: str,
    out: Path | None,
    shape: Any,
    file_kind: Any,
    scores: bool,
    rejected: bool,
    extras: bool,
    sql: bool,
    **chosen: Any,
) -> None:
    """Choose a subset of a scored POOL and export it with its manifest."""
    from core import export

    if out is None and not sql:
        raise click.UsageError("Missing option '--out'.")
    recipe = _recipe(pool, **chosen)
    if out is None or sql:
        _print_sql(recipe)
        return
    layout = export.Layout(shape, file_kind, scores, rejected, extras)
    manifest = export.export(recipe, layout, out)
    for reason, n in manifest["counts"]["by_reason"].items():
        echo(f"{n:>9,}  {reason}")
    for name, facts in manifest["files"].items():
        echo(f"{out / name}: {facts['rows']:,} rows, SHA-256 {facts['sha256'][:16]}")
    for text in manifest["policy_notes"]:
        note(text)
    for text, n in manifest["notes"].items():
        note(f"{n:,} x {text}")
    echo(f"again: sftlens replay {out / 'manifest.json'}")


def _recipe(pool: str, whole: str | None, **spelled: Any) -> Any:
    """The recipe of `--recipe`, or the one that the other options spell."""
    from core import links, store
    from core.errors import BudgetError
    from core.store import recipes

    if whole is None:
        return _spelled(pool, **spelled)
    if any(spelled.values()):
        do = "Leave the other options out: the recipe says it all."
        raise BudgetError("--recipe", "cannot be mixed with other choices", do=do)
    name, _, version = whole.partition("@")
    try:
        recipe = links.unpack(whole)
    except BudgetError:
        with store.connect() as con:
            recipe = recipes.get(con, name, int(version) if version.isdigit() else None)
    if recipe.pool != pool:
        do = f"Give that pool: sftlens select {recipe.pool} --recipe ..."
        raise BudgetError("--recipe", "is for another pool", got=recipe.pool, do=do)
    return recipe


def _spelled(
    pool: str,
    method: str | None,
    run_id: str | None,
    budget: str | None,
    policy: str | None,
    policy_params: tuple[str, ...],
    rules: tuple[str, ...],
    params: tuple[str, ...],
) -> Any:
    from core import store
    from core.methods import build
    from core.policies import build as build_policy
    from core.policies.budget import Budget
    from core.recipe import Recipe
    from core.rules import parse_all
    from core.store import runs as stored

    if method is None or budget is None:
        raise click.UsageError(f"Missing option '--{'budget' if method else 'method'}'.")
    changed = pairs(params, "--set")
    typed = build(method).with_params(changed)
    spent = pairs(policy_params, "--policy-set")
    by = build_policy(policy or typed.policy, spent)
    Budget.parse(budget)
    with store.connect() as con:
        run_id = run_id or stored.newest_run(con, pool, method).run_id
    return Recipe(
        pool=pool,
        method=method,
        run_id=run_id,
        params={name: getattr(typed, name) for name in changed},
        rules=parse_all(rules),
        policy=by.name,
        policy_params={name: getattr(by, name) for name in spent},
        budget=budget,
    )


def _print_sql(recipe: Any) -> None:
    """The rules as SQL; knobs, near-duplicates, quotas, pins and the budget are no rules."""
    from core import store
    from core.store import predicates

    with store.connect() as con:
        echo(predicates.predicate(con, recipe.rules, recipe.pool, recipe.run_id))


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
