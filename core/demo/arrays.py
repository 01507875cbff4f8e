"""Named arrays as a Parquet file and back, equal in value, type and shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION = "zstd"


def write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of n rows, (n, ...), one a column: numbers, bytes or text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields, columns = [], []
    for name, array in arrays.items():
        column = _packed(array)
        shape = "x".join(map(str, array.shape[1:]))
        kept = {"dtype": array.dtype.str, "shape": shape}
        fields.append(pa.field(name, column.type, metadata=kept))
        columns.append(column)
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    pq.write_table(table, path, compression=COMPRESSION, use_dictionary=False)


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `write` made."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {field.name: _unpacked(table.column(field.name), field) for field in table.schema}


def _packed(array: NDArray[Any]) -> "pa.Array":
    """(n,) as it is, (n, ...) as lists of one length."""
    import pyarrow as pa

    flat = array.ravel()
    kind = {"S": pa.binary(), "U": pa.string()}.get(array.dtype.kind)
    values = pa.array(flat.tolist(), kind) if kind else pa.array(flat)
    if array.ndim == 1:
        return values
    return pa.FixedSizeListArray.from_arrays(values, int(np.prod(array.shape[1:])))


def _unpacked(column: "pa.ChunkedArray", field: "pa.Field") -> NDArray[Any]:
    import pyarrow as pa

    whole = pa.concat_arrays(column.chunks) if column.chunks else pa.array([], field.type)
    if pa.types.is_fixed_size_list(field.type):
        whole = whole.flatten()
    dtype, shape = (field.metadata[name].decode() for name in (b"dtype", b"shape"))
    flat = np.asarray(whole.to_numpy(zero_copy_only=False)).astype(dtype)
    return flat.reshape(len(column), *(int(part) for part in shape.split("x") if part))
