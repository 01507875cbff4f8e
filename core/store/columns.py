"""Columns of a table with one row a sample, read when they are asked for.

Those read last are kept while there is room, for all tables of the process together: a run of a
million samples holds up to a quarter of a gigabyte, and a page looks at a few of its columns.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import config
from core.store import Connection, connect
from core.store.names import quoted

ROOM = 256 * 2**20  # bytes of columns that are kept
ROWS = 131_072  # read at a time
NUMBERS: dict[str, Any] = {"DOUBLE": np.float64, "FLOAT": np.float32, "INTEGER": np.int32}
Key = tuple[Path, str, str]


@dataclass(frozen=True)
class Kind:
    """How a column is laid out: (n,) or, with a width, (n, width)."""

    dtype: Any  # of numpy
    width: int = 0

    @classmethod
    def of(cls, sql: str) -> "Kind | None":
        """The kind of a column of this SQL type, e.g. FLOAT[5]; None for what is no number."""
        name, _, rest = sql.partition("[")
        dtype = NUMBERS.get(name)
        return cls(dtype, int(rest.rstrip("]") or 0)) if dtype else None

    def empty(self, n: int) -> NDArray[Any]:
        """Room for n rows."""
        return np.empty((n, self.width) if self.width else n, self.dtype)


class Shelf:
    """The arrays that were asked for last, as many as there is room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._held: OrderedDict[Key, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> NDArray[Any] | None:
        """The array, if it is still here."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Key, array: NDArray[Any]) -> None:
        """Keep an array, and let go of those not asked for since long."""
        with self._lock:
            self._held[key] = array
            self._held.move_to_end(key)
            size = sum(held.nbytes for held in self._held.values())
            while size > self.room:
                size -= self._held.popitem(last=False)[1].nbytes


SHELF = Shelf(ROOM)


class Columns(Mapping[str, NDArray[Any]]):
    """The columns of numbers of a table, by name; each (n,) or (n, k), in pool order, read-only.

    Missing numbers are NaN. The table is one that is never written again.
    """

    def __init__(self, con: Connection, table: str, n: int, apart: tuple[str, ...] = ()) -> None:
        self._path, self._table, self._n = config.store_path(), table, n
        listed = con.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?"
            " ORDER BY column_index",
            [table],
        ).fetchall()
        kinds = {name: Kind.of(sql) for name, sql in listed if name not in (*apart, "position")}
        self._kinds = {name: kind for name, kind in kinds.items() if kind is not None}

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __getitem__(self, name: str) -> NDArray[Any]:
        kept = SHELF.get(self._key(name))
        return self.read(name)[name] if kept is None else kept

    def of_none(self) -> dict[str, NDArray[Any]]:
        """The same columns of no sample."""
        return {name: kind.empty(0) for name, kind in self._kinds.items()}

    def flat(self) -> list[str]:
        """The names of the columns of one number a sample."""
        return [name for name, kind in self._kinds.items() if not kind.width]

    def read(self, *names: str) -> dict[str, NDArray[Any]]:
        """Several columns; what has to be read of them is read at once."""
        out = {name: SHELF.get(self._key(name)) for name in names}
        new = [name for name, array in out.items() if array is None]
        out |= self._fetched(new) if new else {}
        return {name: array for name, array in out.items() if array is not None}

    def _key(self, name: str) -> Key:
        if name not in self._kinds:
            raise KeyError(name)
        return self._path, self._table, name

    def _fetched(self, names: list[str]) -> dict[str, NDArray[Any]]:
        out = {name: self._kinds[name].empty(self._n) for name in names}
        chosen = ", ".join(map(quoted, names))
        with connect(path=self._path) as con:
            cursor = con.cursor()  # of its own: an answer before may not have been read to its end
            found = cursor.sql(f"SELECT position, {chosen} FROM {self._table}")  # noqa: S608
            for batch in found.to_arrow_reader(ROWS):
                rows = batch.column(0).to_numpy()
                for name, column in zip(names, batch.columns[1:], strict=True):
                    out[name][rows] = _array(column, self._kinds[name])
        for name, array in out.items():
            array.flags.writeable = False  # all who ask get the same one
            SHELF.put(self._key(name), array)
        return out


def _array(column: Any, kind: Kind) -> NDArray[Any]:
    wide = column.flatten() if kind.width else column
    flat: NDArray[Any] = wide.to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), kind.width) if kind.width else flat
