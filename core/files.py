"""Writing files so that a reader, or a second run after a kill, sees all of one or none of it."""

import hashlib
import json
import os
import platform
import shutil
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST = 256 * 2**20  # bytes of a JSON file that is read at once


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it into place if the body succeeds.

    The name carries machine, process and thread, so two writers never share a half-written file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{platform.node()}-{os.getpid()}-{threading.get_ident()}"
    part = path.with_name(f".{path.name}.{writer}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write `value` as JSON, whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", "utf8")


def read_json(path: Path) -> Any:
    """Read a JSON file; None when it is missing, not JSON, or far too large to be one of ours."""
    try:
        return None if path.stat().st_size > MOST else json.loads(path.read_text("utf8"))
    except (OSError, ValueError, RecursionError):
        return None


def digest(path: Path) -> dict[str, Any]:
    """Bytes and SHA-256 of a file."""
    with path.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": sha256}


def zipped(folder: Path, names: Sequence[str]) -> Path:
    """Files of a folder in one archive, hidden beside them; equal files give equal archives."""
    made = folder / ".all.zip"
    with whole(made) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)  # of 1980: the clock would make every archive another
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with (folder / name).open("rb") as source, archive.open(entry, "w") as out:
                shutil.copyfileobj(source, out)
    return made
