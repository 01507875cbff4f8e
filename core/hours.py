"""How long whole pools would take by each method under its own settings, from the start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core import blocks, disk, store
from core.domain import Pool, Sample
from core.engines.hardware import Precision
from core.estimates import Estimate
from core.executors import Serial
from core.measuring import Measuring
from core.methods import Method, catalogue
from core.planning import Planner
from core.progress import Progress
from core.speed import MAX_TOKENS, corpus
from core.store import pools, views

N = 10_000  # samples of the pool that stands for one of the user's
QUERIES = 16
LIKE = f"{N:,} samples like the demo's"


@dataclass
class OfCorpus(Measuring):
    """Plans on samples that are in no store: those of the corpus, over and over."""

    def fetch(self, pool: Pool, order: Sequence[str] = ()) -> blocks.Fetch:
        """See `Measuring.fetch`."""
        if pool.name != LIKE:
            return super().fetch(pool, order)
        named = {s.sample_id: s for s in corpus()}
        return lambda ids: [named[i.partition("-")[0]] for i in ids]


def invented(n: int) -> Pool:
    """A pool of n samples of the corpus; each has an id of its own."""
    some: Sequence[Sample] = corpus()
    ids = tuple(f"{some[k % len(some)].sample_id}-{k}" for k in range(n))
    return Pool(LIKE, "pool", "", ids)


def all_pools(name: str = "") -> list[Pool]:
    """The pool by this name, else every pool of the store, else one that stands for them.

    Raises:
        PoolError: there is no pool by this name.
    """
    try:
        with store.connect() as con:
            frame = views.pools(con)
            names = [name] if name else frame.loc[frame["kind"] == "pool", "pool"].tolist()
            found = [pools.get_pool(con, each) for each in names]
    except store.NoStoreError:
        if name:
            raise
        found = []
    return [pool for pool in found if len(pool)] or [invented(N)]


def by_method(
    pool: Pool, model: str, precision: Precision, workers: int | None = None
) -> Iterator[tuple[Method, Estimate]]:
    """Each method that a model has work for, and what it would take; 16 queries are assumed."""
    query = replace(invented(QUERIES), kind="query")
    work = OfCorpus(pool, query, model, precision, MAX_TOKENS, Progress(quiet=True), Serial())
    for cls in catalogue().values():
        method = cls()
        if cls.measures and method.needs():
            planner = Planner(work, workers=workers, fresh=True)
            stages = [*planner.stages(method.needs()), disk.scoring(method, work)]
            yield method, Estimate(stages)
