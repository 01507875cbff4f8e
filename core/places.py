"""Which folders a path may lead into that somebody typed in the app.

The cache, the folder that the app was started from, and what `--allow` names. A path is followed
to its end first: neither `..` nor a link leads out, and what is used is what was looked at.
"""

import os
from pathlib import Path

from core import config
from core.errors import AccessError

NAMES = ("embedded", "fake", "minilm")  # models that go by a name
ALLOWED = "SFTLENS_ALLOW"  # folders, joined as in PATH; set by `sftlens app`
MOST_CHARS = 4096  # of a path; a longer one is none, and no command line takes it


def folders() -> list[Path]:
    """The allowed folders, followed to their ends."""
    named = [text for text in os.environ.get(ALLOWED, "").split(os.pathsep) if text]
    found = [config.cache_dir(), *(Path(text) for text in named or [os.getcwd()])]
    return [folder.resolve() for folder in found]


def inside(text: str) -> Path:
    """The path that a text names, followed to its end; a relative one from the working folder.

    Raises:
        AccessError: it is no path, or leads out of the allowed folders. Whether there is
            something is not told.
    """
    allowed = folders()
    try:
        path = Path(os.path.expanduser(text))
        end = (path if path.is_absolute() else allowed[1] / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise _outside(text) from error
    if not any(end.is_relative_to(folder) for folder in allowed):
        raise _outside(text)
    return end


def model(name: str) -> str:
    """A model's name as it may be used in the app: a path inside, or a name that is no path.

    Raises:
        AccessError: it is a path that leads out of the allowed folders, or no name at all.
    """
    if len(name) > MOST_CHARS or not name.isprintable():
        raise _outside(name)
    here = os.path.expanduser(name)
    typed = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    starts = (folders()[1], config.ROOT)  # a relative path would be looked for there
    there = name not in ("", *NAMES) and any(os.path.lexists(start / here) for start in starts)
    if not typed and not there and not name.endswith(".gguf"):
        return name  # a hub id, or nothing at all
    return str(inside(name))


def _outside(text: str) -> AccessError:
    do = "Use one in the cache or the working folder, or start the app with --allow FOLDER."
    return AccessError("path", "leads out of the folders that this app may read", got=text, do=do)
