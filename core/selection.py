"""A recipe met with the store: its run, the columns, the scores under its knobs, the subset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import store
from core.domain import IntN, MaskN, Scores
from core.errors import RunError
from core.ids import Ids
from core.loaded import Loaded as Loaded
from core.loaded import Shown
from core.loaded import load as load
from core.recipe import Recipe
from core.rules import Range, Rule
from core.store import maps, predicates
from core.store import runs as stored
from core.subset import Facts, Subset, apply

MASKS = 24  # rules whose samples are remembered, of one run


@dataclass(frozen=True)
class Selection:
    """Everything that export and charts ask of a recipe. Arrays are in pool order, (n,)."""

    recipe: Recipe
    loaded: Loaded
    columns: Mapping[str, NDArray[Any]]
    scores: Scores
    facts: Facts
    subset: Subset

    @property
    def run(self) -> stored.Run:
        """The run that ranks."""
        return self.loaded.run

    @property
    def ids(self) -> Ids:
        """The samples' ids."""
        return self.loaded.ids

    @property
    def source(self) -> IntN:
        """Each sample's source as a number into `sources`."""
        return self.loaded.source

    @property
    def sources(self) -> Sequence[str]:
        """Names of the sources, in alphabetical order."""
        return self.loaded.sources


def select(recipe: Recipe, loaded: Loaded | None = None) -> Selection:
    """Apply a recipe to its run, which is read unless it is given.

    Raises:
        RunError: the run is not in the store, or the recipe's parameters need a model.
        BudgetError: budget, policy or a rule is wrong.
    """
    loaded = loaded or load(recipe.run_id, stored.how(recipe.pool, recipe.method))
    run = loaded.run
    if (run.run_id, run.pool, run.method) != (recipe.run_id, recipe.pool, recipe.method):
        do = f"Score it again: {stored.how(recipe.pool, recipe.method)}."
        raise RunError(recipe.run_id[:8], "this run is not in the store", do=do)
    scores = loaded.scores(recipe.params)
    columns = Shown({**scores.diagnostics, "score": scores.value}, loaded.columns)
    facts = _facts(recipe, loaded, scores)
    return Selection(recipe, loaded, columns, scores, facts, apply(recipe, scores, facts))


def _facts(recipe: Recipe, loaded: Loaded, scores: Scores) -> Facts:
    found = [(pin.keep, loaded.ids.find(pin.sample_id)) for pin in recipe.pins]
    kept, dropped = (
        np.array([row for keep, row in found if keep is side and row is not None], np.int64)
        for side in (True, False)
    )
    return Facts(
        _passed(recipe, loaded, scores),
        loaded.columns.get("n_tokens"),
        loaded.source,
        loaded.sources,
        loaded.id_hash,
        _duplicates(recipe, loaded.run),
        (kept, dropped),
    )


def _passed(recipe: Recipe, loaded: Loaded, scores: Scores) -> tuple[MaskN, ...]:
    """Each rule's samples; a rule that was asked for before is not asked for again."""
    live = _live(recipe, scores)
    knobs = repr(sorted(recipe.params.items()))
    keys = [f"{knobs if _reads(rule, live) else ''} {rule!r}" for rule in recipe.rules]
    known = dict(loaded.masks)  # other sessions share it
    run = loaded.run
    new = {k: r for k, r in zip(keys, recipe.rules, strict=True) if k not in known}
    for key, rule in new.items():
        if isinstance(rule, Range) and _reads(rule, live):  # no table holds it
            known[key] = rule.passed(live[rule.column])
            continue
        with store.connect() as con:
            args = (rule, run.pool, run.run_id, run.n, live)
            known[key] = predicates.positions_passing(con, *args)
    loaded.masks.update({key: known[key] for key in new})
    for key in list(loaded.masks)[:-MASKS]:
        loaded.masks.pop(key, None)
    return tuple(known[key] for key in keys)


def _live(recipe: Recipe, scores: Scores) -> dict[str, NDArray[Any]]:
    """Columns that differ from the stored ones, because the recipe turns a knob."""
    if not recipe.params:
        return {}
    columns = {name: c for name, c in scores.diagnostics.items() if c.ndim == 1}
    if scores.group is not None:
        columns["group"] = scores.group
    return columns | {"score": scores.value}


def _reads(rule: Rule, live: Mapping[str, Any]) -> bool:
    return getattr(rule, "column", "") in live and not getattr(rule, "run", "")


def _duplicates(recipe: Recipe, run: stored.Run) -> IntN | None:
    """Groups of near-duplicates (n,), None where the recipe does not ask for them."""
    asked = recipe.distinct
    if asked is None:
        return None
    with store.connect() as con:
        found = maps.get_map(con, asked.map_id)
        if found is None or found.pool != run.pool:
            do = f"Make the map again (sftlens map {run.pool}), or keep near-duplicates."
            raise RunError(asked.map_id[:8], "the map of near-duplicates is not there", do=do)
        links = maps.map_links(con, asked.map_id, asked.by)
    return links.groups(max(found.n, run.n), asked.threshold)[: run.n]
