"""A recipe met with the store: its run, the columns, the scores under its knobs, the subset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import blocks, config, runs, store
from core.domain import IntN, MaskN, Scores
from core.errors import RunError
from core.ids import Ids
from core.methods import build
from core.recipe import Recipe
from core.rules import Rule
from core.store import maps, predicates, views
from core.store import runs as stored
from core.subset import Facts, Subset, apply

MASKS = 24  # rules whose samples are remembered, of one run


@dataclass(frozen=True)
class Loaded:
    """A run as it lies in the store: nothing of it ever changes. Arrays are in pool order, (n,).

    `source` numbers into `sources`. `masks` remembers which samples passed the last rules.
    """

    run: stored.Run
    columns: dict[str, NDArray[Any]]
    ids: Ids
    source: IntN
    sources: Sequence[str]
    masks: dict[str, MaskN] = field(default_factory=dict, compare=False)

    @cached_property
    def id_hash(self) -> IntN:
        """52 bits of each id."""
        return self.ids.hash()


@dataclass(frozen=True)
class Selection:
    """Everything that export and charts ask of a recipe. Arrays are in pool order, (n,)."""

    recipe: Recipe
    loaded: Loaded
    columns: dict[str, NDArray[Any]]
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


def load(run_id: str, again: str = "sftlens score POOL METHOD") -> Loaded:
    """Read a run with the ids and sources of its pool. `again`: the command that would make it.

    Raises:
        RunError: the run is not in the store.
    """
    with store.connect() as con:
        run = stored.get_run(con, run_id)
        if run is None:
            do = f"Score it again: {again}."
            raise RunError(run_id[:8], "this run is not in the store", do=do)
        columns = stored.run_columns(con, run.run_id)
        # The pool may have grown since: the run speaks of its first n samples.
        ids, source, sources = views.places(con, run.pool, run.n)
    return Loaded(run, columns, Ids(ids), source, sources)


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
    scores = runs.rescore(run, loaded.columns, recipe.params)
    scores = replace(scores, features=_features(recipe, loaded))
    columns = loaded.columns | dict(scores.diagnostics) | {"score": scores.value}
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
    if new := {k: r for k, r in zip(keys, recipe.rules, strict=True) if k not in known}:
        with store.connect() as con:
            for key, rule in new.items():
                args = (rule, run.pool, run.run_id, run.n, live)
                known[key] = predicates.positions_passing(con, *args)
                loaded.masks[key] = known[key]
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


@dataclass(frozen=True)
class Features:
    """Rows (n, w) that are read from a run's parts when they are asked for.

    Each sample's unit vectors side by side, each sqrt(weight) long, so that the product of two
    rows is the weighted mean of their cosines.
    """

    folders: Mapping[str, str]  # need -> name of its folder of parts
    weights: Mapping[str, float]  # need_column -> weight
    ids: Ids

    def __getitem__(self, rows: IntN) -> NDArray[np.float32]:
        ids = list(self.ids[rows])
        wide = []
        for name, weight in self.weights.items():
            need, _, column = name.rpartition("_")
            folder = config.folder("blocks") / self.folders[need]
            found = np.asarray(blocks.gather(folder, ids, column)[column], np.float32)
            wide.append(found * np.float32(weight**0.5))
        return np.hstack(wide)


def _features(recipe: Recipe, loaded: Loaded) -> Features | None:
    """What says how alike the run's samples are; None where its method measured no such thing."""
    run, columns = loaded.run, loaded.columns
    weights = build(run.method, run.params).with_params(recipe.params).features(columns)
    return Features(run.card["parts"], weights, loaded.ids) if weights else None
