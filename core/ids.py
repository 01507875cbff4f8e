"""The ids of a pool in order, 20 bytes each: a million of them are 20 MB."""

from collections.abc import Iterator
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN

LETTERS = 13  # hex digits that make 52 bits, which a float64 holds, too
DIGIT = np.array([int(chr(c), 16) if chr(c) in "0123456789abcdef" else 0 for c in range(256)])


class Ids:
    """Sample ids in pool order. An index gives a text; a slice or an array of rows gives `Ids`."""

    def __init__(self, ids: Any) -> None:
        self._ids: NDArray[np.bytes_] = np.asarray(ids, "S20")
        self._hash: IntN | None = None  # made when it is asked for

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, rows: int) -> str: ...
    @overload
    def __getitem__(self, rows: "slice | NDArray[Any]") -> "Ids": ...
    def __getitem__(self, rows: Any) -> "str | Ids":
        found = self._ids[rows]
        return Ids(found) if isinstance(found, np.ndarray) else found.decode()

    def __iter__(self) -> Iterator[str]:
        return (sample_id.decode() for sample_id in self._ids)

    def find(self, sample_id: str) -> int | None:
        """The row of an id, or None."""
        wanted = sample_id.encode("ascii", "replace")
        rows = np.flatnonzero(self._ids == wanted)
        return int(rows[0]) if len(rows) and len(wanted) == 20 else None

    def hash(self) -> IntN:
        """52 bits of each id, (n,): an id is a content hash, so its first digits are one, too."""
        if self._hash is None:
            letters = np.frombuffer(self._ids.tobytes(), np.uint8).reshape(len(self), 20)
            found = np.zeros(len(self), np.int64)
            for letter in letters.T[:LETTERS]:
                found = 16 * found + DIGIT[letter]
            found.flags.writeable = False
            self._hash = found
        return self._hash
