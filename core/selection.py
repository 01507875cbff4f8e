"""A recipe met with the store: its run, the columns, the scores under its knobs, the subset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import blocks, config, runs, store
from core.domain import Arrays, IntN, Scores, id_hash
from core.errors import RunError
from core.methods import build
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
    scores = replace(scores, features=_features(recipe, run, columns, sample_ids))
    columns |= dict(scores.diagnostics) | {"score": scores.value}
    subset = apply(recipe, scores, columns, source, id_hash(sample_ids))
    return Selection(recipe, run, sample_ids, columns, scores, subset)


@dataclass(frozen=True)
class Features:
    """Rows (n, w) that are read from a run's parts when they are asked for.

    Each sample's unit vectors side by side, each sqrt(weight) long, so that the product of two
    rows is the weighted mean of their cosines.
    """

    folders: Mapping[str, str]  # need -> name of its folder of parts
    weights: Mapping[str, float]  # need_column -> weight
    sample_ids: Sequence[str]

    def __getitem__(self, rows: IntN) -> NDArray[np.float32]:
        ids = [self.sample_ids[row] for row in rows.tolist()]
        wide = []
        for name, weight in self.weights.items():
            need, _, column = name.rpartition("_")
            folder = config.folder("blocks") / self.folders[need]
            found = np.asarray(blocks.gather(folder, ids, column)[column], np.float32)
            wide.append(found * np.float32(weight**0.5))
        return np.hstack(wide)


def _features(
    recipe: Recipe, run: stored.Run, columns: Arrays, sample_ids: Sequence[str]
) -> Features | None:
    """What says how alike the run's samples are; None where its method measured no such thing."""
    weights = build(run.method, run.params).with_params(recipe.params).features(columns)
    return Features(run.card["parts"], weights, sample_ids) if weights else None
