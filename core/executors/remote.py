"""The place behind a URL that many machines reach: files put there whole, and got from there.

Whatever fsspec opens will do. A file gets its name when it is whole: it is put under a name of its
own and moved, or put at once where a store shows no half of an object. What goes wrong is one
sentence, whichever package the store comes with.
"""

import platform
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from core import logs
from core.errors import RunError, SFTLensError

OPTION = "--ray-share"
WHOLE = frozenset({"abfs", "abfss", "az", "gcs", "gs", "hf", "oci", "oss", "s3", "s3a"})
RIGHTS = "Each machine needs the right to read and to write there."


class Remote:
    """A folder behind a URL, opened when it is first used.

    Places in it are told by their steps: `blocks`, a folder, a file.

    Raises:
        RunError: no URL, one with a password in it, or of a place that machines cannot share; and
            later, whatever goes wrong there.
    """

    def __init__(self, url: str) -> None:
        self.url = plain(url)

    def check(self) -> None:
        """Write a small file and remove it, so that a long run does not find out at its end."""
        name = f"probe-{secrets.token_hex(8)}"
        with tempfile.NamedTemporaryFile() as probe:
            self.put(Path(probe.name), name)
        with self._asked("cannot be written"):
            self._open[0].rm_file(self._at(name))

    def names(self, *steps: str) -> dict[str, int]:
        """The files of a folder, and their bytes."""
        store, at = self._open[0], self._at(*steps)
        with self._asked("cannot be read"), suppress(FileNotFoundError):
            store.invalidate_cache()
            found = store.ls(at, detail=True)
            store.invalidate_cache()  # else what comes later is never seen
            own = [entry for entry in found if entry["type"] == "file"]
            return {str(e["name"]).rpartition("/")[2]: int(e["size"] or 0) for e in own}
        return {}

    def put(self, path: Path, *steps: str) -> None:
        """Put a file there; whole or not at all."""
        store, at = self._open[0], self._at(*steps)
        with self._asked("cannot be written"):
            if self.url.partition("://")[0] in WHOLE:
                store.put_file(str(path), at)
                return
            store.makedirs(at.rpartition("/")[0], exist_ok=True)
            part = f"{at}.{secrets.token_hex(8)}.part"
            try:
                store.put_file(str(path), part)
                store.mv(part, at)
            except BaseException:
                with suppress(Exception):
                    store.rm_file(part)
                raise

    def get(self, target: Path, *steps: str) -> bool:
        """Copy a file from there; whether there was one."""
        with self._asked("cannot be read"), suppress(FileNotFoundError):
            self._open[0].get_file(self._at(*steps), str(target))
            return True
        return False

    def set_aside(self, *steps: str) -> None:
        """Give a damaged file a name that nobody asks for."""
        at = self._at(*steps)
        with self._asked("cannot be written"), suppress(FileNotFoundError):
            self._open[0].mv(at, f"{at.removesuffix('.npz')}.damaged")

    @cached_property
    def _open(self) -> tuple[Any, str]:
        """The file system, and the folder in it."""
        do = "Give one of a store that fsspec knows, and that this machine may reach."
        with self._asked("cannot be opened", do):
            from fsspec.core import url_to_fs

            store, root = url_to_fs(self.url)
        return store, str(root).rstrip("/")

    def _at(self, *steps: str) -> str:
        return "/".join((self._open[1], *steps))

    @contextmanager
    def _asked(self, what: str, do: str = RIGHTS) -> Iterator[None]:
        try:
            yield
        except SFTLensError:
            raise
        except ImportError as error:
            what = f"a package that opens it is missing on {platform.node()}"
            do = "Install it on every machine."
            raise RunError(self.url, what, got=line(error), do=do) from error
        except Exception as error:  # each store has its own
            raise RunError(self.url, what, got=line(error), do=do) from error


def line(error: Exception) -> str:
    """What an error says, on one line and without secrets."""
    return logs.without_secrets(" ".join(str(error).split())) or type(error).__name__


def plain(url: str) -> str:
    """The URL as it is used and shown: with no secret in it, and no slash at its end."""
    text, do = url.strip(), "Give one such as file:///mnt/sftlens or s3://bucket/folder."
    scheme, found, rest = text.partition("://")
    if not found or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not rest.strip("/"):
        raise RunError(OPTION, "is no URL", do=do)
    user, at, _ = rest.rpartition("@")
    if (at and ":" in user) or "?" in rest or "#" in rest:
        what = "holds a password or a query, and a URL is shown"
        do = "Leave it out; each machine takes it from its own settings (fsspec's or the store's)."
        raise RunError(OPTION, what, do=do)
    if scheme in ("data", "memory"):
        raise RunError(OPTION, f"{scheme}:// is no place that machines share", do=do)
    if scheme in ("file", "local") and (not rest.startswith("/") or ".." in rest.split("/")):
        raise RunError(OPTION, f"{scheme}:// needs a whole path", got=rest, do=do)
    return text.rstrip("/")
