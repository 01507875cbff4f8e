"""Writing files so that a reader, or a second run after a kill, sees all of one or none of it."""

import hashlib
import json
import os
import platform
import re
import shutil
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

MOST = 256 * 2**20  # bytes of a JSON file that is read at once
# Whose a file is that is not whole yet: the machine, since a folder may be shared, and the process.
_OWNER = re.compile(r"[-.]([0-9a-f]{8})-(\d+)(?:-\d+)?\.(?:part|parquet|jsonl)(?:\.wal|\.tmp)?$")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it into place if the body succeeds.

    The name carries machine, process and thread, so two writers never share a half-written file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = part(path)
    try:
        yield made
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)


def part(path: Path) -> Path:
    """The hidden name beside a path under which this thread makes it, known to `sweep`."""
    return path.with_name(f".{path.name}.{owner()}-{threading.get_ident()}.part")


def owner() -> str:
    """This machine and this process, as a part of a file's name that `sweep` knows."""
    return f"{zlib.crc32(platform.node().encode()):08x}-{os.getpid()}"


def sweep(folder: Path) -> None:
    """Remove what writers left half made that were killed on this machine.

    Told by their processes, not by age, so that no clock can make a living one's file old.
    """
    import psutil

    for path in list(folder.iterdir()) if folder.is_dir() else ():
        found = _OWNER.search(path.name)
        if found and is_ours(path) and not psutil.pid_exists(int(found[2])):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_ours(path: Path) -> bool:
    """Whether a half-made file is of a process of this machine."""
    found = _OWNER.search(path.name)
    return found is not None and found[1] == owner().partition("-")[0]


def free(path: Path) -> Path:
    """This path, or the first one with a number in its name that is not taken."""
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return path if not path.exists() else next(name for name in names if not name.exists())


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
