"""A run as it lies in the store, and its scores under any of its live knobs."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import blocks, config, rescoring, store
from core.domain import IntN, MaskN, Scores
from core.errors import RunError
from core.ids import Ids
from core.methods import build
from core.store import Connection, views
from core.store import runs as stored
from core.store.columns import Columns

SCORED = 3  # sets of knobs whose scores are remembered, of one run
POOLS = 2  # whose ids and sources are remembered

Place = tuple[Ids, IntN, tuple[str, ...]]  # ids, number of the source, the sources' names


class Shown(Mapping[str, NDArray[Any]]):
    """Stored columns, some of which others stand before; nothing is read before it is looked at."""

    def __init__(self, own: Mapping[str, NDArray[Any]], under: Columns) -> None:
        self.own, self._under = dict(own), under

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.own[name] if name in self.own else self._under[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self._under

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._under, *self.own]))

    def __len__(self) -> int:
        return len(dict.fromkeys([*self._under, *self.own]))


@dataclass(frozen=True)
class Loaded:
    """A run as it lies in the store: nothing of it ever changes. Arrays are in pool order, (n,).

    `columns` are read when they are looked at. `source` numbers into `sources`. `masks` remembers
    which samples passed the last rules, `known` the scores under the last knobs.
    """

    run: stored.Run
    columns: Columns
    ids: Ids
    source: IntN
    sources: Sequence[str]
    masks: dict[str, MaskN] = field(default_factory=dict, compare=False)
    known: dict[str, Scores] = field(default_factory=dict, compare=False, repr=False)

    @property
    def id_hash(self) -> IntN:
        """52 bits of each id."""
        return self.ids.hash()

    def scores(self, params: Mapping[str, Any]) -> Scores:
        """The scores under these knobs; without any, those of the store.

        `diagnostics` holds what differs from the stored columns.

        Raises:
            MethodError: a parameter is wrong.
            RunError: a parameter changes what must be measured.
        """
        key = repr(sorted(params.items()))
        found = self.known.get(key)  # other sessions share it
        if found is None:
            found = self._rescored(params) if params else self._stored()
            found = replace(found, features=self._features(params))
            self.known[key] = found
            for old in list(self.known)[:-SCORED]:
                self.known.pop(old, None)
        return found

    def _stored(self) -> Scores:
        """What `score` gave when the run was made, without asking it again.

        Of no sample it names its reasons, those that no sample has, too.
        """
        method = build(self.run.method, self.run.params)
        of_none = method.score(self.columns.of_none())
        with store.connect() as con:
            group, excluded = stored.fates(con, self.run.run_id, self.run.n)
        nobody = np.zeros(self.run.n, bool)
        named = {name: excluded.pop(name, nobody) for name in of_none.excluded}
        similarity = method.similarity(self.columns)
        return Scores(self.columns["value"], group, named | excluded, {}, similarity)

    def _rescored(self, params: Mapping[str, Any]) -> Scores:
        ready = Shown(self.columns.read(*self.columns.flat()), self.columns)
        scores = rescoring.rescore(self.run, ready, params)
        changed = {
            name: column
            for name, column in scores.diagnostics.items()
            if name not in ready or not _equal(column, ready[name])
        }
        return replace(scores, diagnostics=changed)

    def _features(self, params: Mapping[str, Any]) -> "Features | None":
        """What says how alike the samples are; None where the method measured no such thing."""
        method = build(self.run.method, self.run.params).with_params(params)
        weights = method.features(self.columns)
        return Features(self.run.card["parts"], weights, self.ids) if weights else None


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a is b or (a.shape == b.shape and np.array_equal(a, b, equal_nan=True))


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
        columns = stored.columns(con, run.run_id, run.n)
        ids, source, sources = _place(con, run)
    return Loaded(run, columns, ids, source, sources)


_PLACES: OrderedDict[tuple[Path, str, str, int], Place] = OrderedDict()
_LOCK = threading.Lock()


def _place(con: Connection, run: stored.Run) -> Place:
    """Ids and sources of a run's samples; runs of one pool share them.

    The pool may have grown since: the run speaks of its first n samples.
    """
    now = views.fingerprint(con, run.pool)
    key = (config.store_path(), run.pool, now, run.n)
    with _LOCK:
        if key not in _PLACES:
            ids, source, sources = views.places(con, run.pool, run.n)
            source.flags.writeable = False
            _PLACES[key] = (Ids(ids), source, sources)
        _PLACES.move_to_end(key)
        while len(_PLACES) > POOLS:
            _PLACES.popitem(last=False)
        return _PLACES[key]
