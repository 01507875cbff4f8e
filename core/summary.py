"""What an export says of itself, as numbers and words: read by its card, its report and Story."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core import chance, telling
from core.chance import Band
from core.domain import FloatN, IntN, MaskN
from core.matched import Matched, matched
from core.methods import catalogue
from core.selection import Selection

BINS = 40
SHOWN = 5  # samples of either side


@dataclass(frozen=True)
class Histogram:
    """Counts of the scores in bins: `edges` (b + 1,), of `all` scored and of `kept`, (b,) each."""

    edges: FloatN
    all: IntN
    kept: IntN


@dataclass(frozen=True)
class Source:
    """A source before and after, and its share among the kept against matched draws."""

    name: str
    before: int
    after: int
    share: Band | None  # None where nothing is kept


@dataclass(frozen=True)
class Summary:
    """The facts of one selection. Counts add up to `n`."""

    pool: str
    fingerprint: str
    method: str  # its title
    paper: str
    run_id: str
    recipe_key: str
    models: str
    words: tuple[str, ...]  # the recipe, one sentence a step
    n: int
    scored: int
    kept: int
    tokens: int
    tokens_before: int
    steps: tuple[tuple[str, int], ...]  # each reason and what it removes, in the recipe's order
    sources: tuple[Source, ...]  # largest first
    histogram: Histogram | None  # None where no sample has a score
    averages: tuple[tuple[str, Band], ...]  # means of the kept against matched draws
    shared: float  # part of a matched draw that is the subset itself, 0..1
    notes: tuple[str, ...]
    seeds: dict[str, object] = field(default_factory=dict)


def summarise(selection: Selection, seeds: dict[str, object] | None = None) -> Summary:
    """The facts of a selection; one pass over its arrays."""
    run, subset, score = selection.run, selection.subset, selection.scores.value
    card = catalogue().get(run.method)
    draws = matched(subset.n_tokens, subset.mask)
    named = (("response tokens", subset.n_tokens), ("score", score))
    means = [(name, chance.mean(draws, column, subset.mask)) for name, column in named]
    return Summary(
        pool=run.pool,
        fingerprint=run.fingerprint,
        method=card.title if card else run.method,
        paper=card.paper if card else "",
        run_id=run.run_id,
        recipe_key=selection.recipe.key,
        models=telling.models(run),
        words=tuple(telling.in_words(selection.recipe, run)),
        n=subset.n,
        scored=int(np.isfinite(score).sum()),
        kept=len(subset.chosen),
        tokens=subset.tokens,
        tokens_before=int(np.nansum(subset.n_tokens)),
        steps=tuple((name, size) for name, size in subset.steps() if size),
        sources=_sources(selection, draws),
        histogram=histogram(score, subset.mask),
        averages=tuple((name, band) for name, band in means if band is not None),
        shared=draws.shared,
        notes=subset.notes,
        seeds=seeds or {},
    )


def _sources(selection: Selection, draws: Matched) -> tuple[Source, ...]:
    names, kept = selection.sources, selection.subset.mask
    before = np.bincount(selection.source, minlength=len(names))
    after = np.bincount(selection.source[kept], minlength=len(names))
    bands: Sequence[Band | None] = [None] * len(names)
    if kept.any():
        bands = chance.shares(draws, selection.source, len(names), kept)
    order = sorted(range(len(names)), key=lambda i: (-before[i], names[i]))
    return tuple(Source(names[i], int(before[i]), int(after[i]), bands[i]) for i in order)


def histogram(value: FloatN, kept: MaskN, bins: int = BINS) -> Histogram | None:
    """Counts of the finite values in equal bins; None when there is no finite value."""
    finite = np.isfinite(value)
    if not finite.any():
        return None
    edges = np.histogram_bin_edges(value[finite], bins)
    return Histogram(
        edges, np.histogram(value[finite], edges)[0], np.histogram(value[finite & kept], edges)[0]
    )


def shown(selection: Selection, most: int = SHOWN) -> tuple[IntN, IntN]:
    """Rows to show of either side.

    Kept: evenly spread over the order of choice. Dropped: the reasons in turn, the largest
    first, each with its best-scored sample first, so that no common reason is missing.
    """
    subset = selection.subset
    at = np.unique(np.linspace(0, max(len(subset.chosen) - 1, 0), most).round().astype(np.int64))
    kept = subset.chosen[at] if len(subset.chosen) else subset.chosen
    sizes = np.bincount(subset.code, minlength=len(subset.names))
    reasons = [r for r in np.argsort(-sizes, kind="stable") if r and sizes[r]]
    best = [_best(selection.scores.value, np.flatnonzero(subset.code == r), most) for r in reasons]
    turns = [rows[k] for k in range(most) for rows in best if k < len(rows)]
    return kept, np.array(turns[:most], np.int64)


def _best(value: FloatN, rows: IntN, most: int) -> IntN:
    """The rows with the highest values first, those without one last."""
    order = np.argsort(-np.nan_to_num(value[rows], nan=-np.inf), kind="stable")
    return rows[order[:most]]


def weakest(selection: Selection) -> float | None:
    """Per cent of all scores below the lowest kept one; None where no kept sample has one."""
    score = selection.scores.value
    kept = score[selection.subset.mask & np.isfinite(score)]
    return float(100 * np.mean(score[np.isfinite(score)] < kept.min())) if len(kept) else None


def rank(selection: Selection, row: int) -> tuple[int, int] | None:
    """A sample's place among the scores, 1 the highest, and how many there are; None without one.

    Equal scores share a place.
    """
    score = selection.scores.value
    if np.isnan(score[row]):
        return None
    return 1 + int((score > score[row]).sum()), int(np.isfinite(score).sum())


def covered(label: IntN, kept: MaskN) -> int:
    """How many labels the kept samples have between them; -1 stands for none."""
    return len(np.unique(label[kept & (label >= 0)]))


def per_cent_kept(selection: Selection) -> float:
    """How much of the pool's samples is kept, in per cent to one digit."""
    return round(100 * len(selection.subset.chosen) / selection.subset.n, 1)
