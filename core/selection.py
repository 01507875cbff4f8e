"""A recipe met with the store: its run, the columns, the scores under its knobs, the subset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from core import runs, store
from core.domain import Scores, id_hash
from core.errors import RunError
from core.recipe import Recipe, Subset, apply
from core.store import pools, views
from core.store import runs as stored


@dataclass(frozen=True)
class Selection:
    """Everything that export and charts ask of a recipe. Arrays are in pool order, (n,)."""

    recipe: Recipe
    run: stored.Run
    sample_ids: Sequence[str]
    columns: dict[str, NDArray[Any]]
    scores: Scores
    subset: Subset


def select(recipe: Recipe) -> Selection:
    """Apply a recipe to its run.

    Raises:
        RunError: the run is not in the store, or the recipe's parameters need a model.
        BudgetError: budget, policy or a rule is wrong.
    """
    with store.connect() as con:
        run = stored.get_run(con, recipe.run_id)
        if run is None or (run.pool, run.method) != (recipe.pool, recipe.method):
            do = f"Score it again: {stored.how(recipe.pool, recipe.method)}."
            raise RunError(recipe.run_id[:8], "this run is not in the store", do=do)
        columns = stored.run_columns(con, run.run_id)
        # The pool may have grown since: the run speaks of its first n samples.
        sample_ids = pools.get_pool(con, run.pool).sample_ids[: run.n]
        source = views.source_codes(con, run.pool)[: run.n]
    scores = runs.rescore(run, columns, recipe.params)
    columns |= dict(scores.diagnostics) | {"score": scores.value}
    subset = apply(recipe, scores, columns, source, id_hash(sample_ids))
    return Selection(recipe, run, sample_ids, columns, scores, subset)
