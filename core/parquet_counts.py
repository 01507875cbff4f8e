"""What the columns of a Parquet file come to, counted before they are unpacked.

A column may hold each of its texts once, and then name the one that stands in each row: a few
kilobytes can mean terabytes, and the sizes in the file are those of what is written. So the names
are read, without the texts that they stand for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.streams import check_share, too_long

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS = 1000  # read together, where they surely fit
ROOM = 64 * 2**20  # bytes that records may have together, unless one alone has more
_BYTES = {"BOOLEAN": 1, "INT64": 8, "DOUBLE": 8, "INT96": 12}  # of a value; of others 4


def opened(metadata: "pq.FileMetaData") -> Mapping[str, Any]:
    """How to open a file so that texts that are named stay names."""
    return {
        "metadata": metadata,
        "read_dictionary": range(len(metadata.schema)),
        "arrow_extensions_enabled": False,  # within one, texts would be unpacked
    }


class Counter:
    """Counts what a file comes to, row group by row group.

    Args:
        path: the file.
        file: the same, opened as `opened` says.

    Raises:
        RecordError: the file says itself that it comes to far more than its size.
    """

    def __init__(self, path: Path, file: "pq.ParquetFile") -> None:
        self._path, self._file, self._seen = path, file, 0
        self._sizes = _sizes(file.metadata)
        check_share(path, sum(self._sizes))
        self._texts: dict[str, bool] = {}  # columns of texts, and whether one is within lists
        for k in range(len(file.metadata.schema)):
            column = file.metadata.schema.column(k)
            if column.physical_type == "BYTE_ARRAY":
                within = self._texts.get(column.path, False)  # of two by one name, either
                self._texts[column.path] = within or column.max_repetition_level > 0

    def together(self, group: int, before: int, most: int) -> int:
        """How many rows of a group can be read together: `ROWS`, or 1.

        Args:
            group: the row group.
            before: rows before it.
            most: bytes that the texts of a record may have.

        Raises:
            RecordError: its texts come to far more than the file's size, or a record is too long.
        """
        rows_in, size = self._file.metadata.row_group(group).num_rows, self._sizes[group]
        fitting = min(ROWS, max(1, ROOM * rows_in // max(1, size)))  # if all rows are alike
        widest = 0
        for name, nested in self._texts.items():
            # without lists one row has one text, and that is written
            if fitting == ROWS or nested:
                widest += self._widest(group, name, fitting, before, most)
        return ROWS if fitting == ROWS and widest <= ROOM else 1

    def _widest(self, group: int, name: str, rows: int, before: int, most: int) -> int:
        """Most bytes that the texts of `rows` records have, as far as the column names them."""
        import pyarrow as pa

        widest, known = 0, list[int]()
        try:
            for batch in self._file.iter_batches(rows, [group], [name], use_threads=False):
                columns = [_leaf(column) for column in batch.columns]
                names = [len(column.dictionary) for column in columns]
                if known and known != names:  # from here on texts are written as they are
                    break
                known = names
                size = sum(map(_spelled, columns))
                self._seen += size
                check_share(self._path, self._seen)
                if size > most:
                    self._refuse_long(batch, before, most)
                widest, before = max(widest, size), before + batch.num_rows
        except (pa.ArrowException, OSError, AttributeError):  # written in another way
            return ROOM + 1
        return widest

    def _refuse_long(self, batch: "pa.RecordBatch", before: int, most: int) -> None:
        for row in range(batch.num_rows):
            one = batch.slice(row, 1)
            if sum(_spelled(_leaf(column)) for column in one.columns) > most:
                raise too_long(f"{self._path}:record {before + row + 1}", most)


def _sizes(file: "pq.FileMetaData") -> list[int]:
    """Bytes of each row group, as far as the file tells: columns that name texts tell less.

    A row group is not asked for its columns: of a broken one pyarrow ends the process.
    """
    width = sum(_width(file.schema.column(k)) for k in range(len(file.schema)))
    groups = map(file.row_group, range(file.num_row_groups))
    return [max(group.total_byte_size, group.num_rows * width) for group in groups]


def _width(column: "pq.ColumnSchema") -> int:
    """Bytes of a value, or of what stands beside it where its length varies."""
    fixed = column.physical_type == "FIXED_LEN_BYTE_ARRAY"
    return int(column.length) if fixed else _BYTES.get(column.physical_type, 4)


def _leaf(array: "pa.Array") -> "pa.DictionaryArray":
    """The texts, by name, inside a column of lists and structs that has no others."""
    import pyarrow as pa

    kinds = pa.types
    while not kinds.is_dictionary(array.type):
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        else:
            array = array.flatten()[0] if kinds.is_struct(array.type) else array.flatten()
    return array


def _spelled(texts: "pa.DictionaryArray") -> int:
    """Bytes of these texts, written out."""
    import numpy as np
    import pyarrow.compute as pc

    lengths = pc.binary_length(texts.dictionary).to_numpy(zero_copy_only=False)
    return int(lengths[texts.indices.drop_null().to_numpy()].sum(dtype=np.int64))
