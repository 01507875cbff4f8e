"""Parts and models by way of a URL, for machines that see no folder together.

Under the URL lie `blocks/FOLDER/part-*.npz`, as in a cache, and `objects/SHA-256`: what blocks are
measured with (earlier parts, weights, tokenizers), named by its content. An actor measures in a
cache of its own machine and puts the finished part there; the parent brings it in. What comes is
looked at before it is believed, a part for the ids in it and an object for its hash, and no name
from there becomes a path.
"""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core import blocks, config, files, models
from core.blocks import Block, Task
from core.domain import content_hash
from core.errors import RunError
from core.executors import wire
from core.executors.remote import Remote, line
from core.models import Checkpoint

log = logging.getLogger(__name__)

PART = re.compile(r"part-[0-9a-f]{16}\.npz")
INSIDE = re.compile(r"(\w[\w.+=-]*/)*\w[\w.+=-]*")  # a file in a folder, and never outside
AGAIN = "Run the same command again."


class Share:
    """What parent and actors get to each other by way of a URL; each has one.

    Raises: as `Remote` does.
    """

    def __init__(self, url: str) -> None:
        self.remote = Remote(url)
        self._sent: dict[Path, str] = {}
        self._models: dict[str, dict[str, str]] = {}

    # the parent's end

    def work(self, task: Task, block: Block, halvings: int = 0) -> dict[str, Any]:
        """The message of `wire.work` with the objects that it takes, which are there by then."""
        checkpoint, given = task.engine.checkpoint, task.given
        held = blocks.holding(given, block.ids) if given is not None else []
        shared = {
            "folder": task.folder.name,
            "given": given.name if given is not None else "",
            "parts": {path.name: self._send(path) for path in held},
            "model": self._model(checkpoint),
            "adapter": self._send(Path(checkpoint.adapter)) if checkpoint.adapter else "",
        }
        return wire.work(task, block, halvings) | {"shared": shared}

    def bring(self, folder: Path) -> None:
        """Bring in those parts of a folder that are not in it; damaged ones are set aside."""
        for name in sorted(self.remote.names("blocks", folder.name)):
            if not PART.fullmatch(name) or (folder / name).exists():
                continue
            if damage := self._bring(folder, name):
                at = f"{self.remote.url}/blocks/{folder.name}/{name}"
                log.warning("%s is damaged (%s); its samples are measured again", at, damage)

    def came(self, folder: Path, block: Block) -> str:
        """Bring in the part of a block that is done; what is wrong with it, empty where it came.

        Raises:
            RunError: it is not there.
        """
        name = blocks.part_name(block.ids)
        damage = "" if (folder / name).exists() else self._bring(folder, name)
        if not damage and not (folder / name).exists():
            do = "Give a URL that is the same place on every machine."
            raise RunError(
                self.remote.url, "holds no part that an actor put there", got=name, do=do
            )
        return damage

    def _bring(self, folder: Path, name: str) -> str:
        """Bring in one part, if it is there and whole; what is wrong with it otherwise."""
        place, damage = ("blocks", folder.name, name), ""
        with suppress(_NoUseError), files.whole(folder / name) as part:
            if not self.remote.get(part, *place):
                raise _NoUseError
            if damage := _damage(part, name):
                self.remote.set_aside(*place)
                raise _NoUseError
        return damage

    def _model(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Names in a checkpoint's folder, and the objects that they are."""
        if checkpoint.folder and checkpoint.key not in self._models:
            folder = Path(checkpoint.folder)
            look = folder.rglob if checkpoint.kind == "sentence" else folder.glob
            paths = {path for pattern in models.HUB_FILES for path in look(pattern)}
            self._models[checkpoint.key] = {
                path.relative_to(folder).as_posix(): self._send(path) for path in sorted(paths)
            }
        return self._models.get(checkpoint.key, {})

    def _send(self, path: Path) -> str:
        """Put a file there, unless it is there already; the name of its object."""
        if path not in self._sent:
            # remembered on disk, and worth that where files are large
            known = path.suffix == ".safetensors"
            sha256 = models.file_sha256(path) if known else str(files.digest(path)["sha256"])
            if self._objects.get(sha256) != path.stat().st_size:
                self.remote.put(path, "objects", sha256)
            self._sent[path] = sha256
        return self._sent[path]

    @cached_property
    def _objects(self) -> dict[str, int]:
        return self.remote.names("objects")

    # an actor's end

    def put(self, path: Path) -> None:
        """Put a finished part there."""
        self.remote.put(path, "blocks", path.parent.name, path.name)

    def here(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message of `work` with paths of this machine, once what it takes has come."""
        shared, checkpoint = message["shared"], dict(message["checkpoint"])
        kept, given = config.folder("blocks"), None
        if shared["given"]:
            given = str(self._fetched(kept / shared["given"], shared["parts"]))
        if shared["model"]:
            folder = config.folder("models") / f"shared-{content_hash(shared['model'])}"
            checkpoint["folder"] = str(self._fetched(folder, shared["model"]))
        if sha256 := shared["adapter"]:
            name = f"{sha256}.safetensors"
            folder = self._fetched(config.folder("models") / "shared-adapters", {name: sha256})
            checkpoint["adapter"] = str(folder / name)
        own = {"folder": str(kept / shared["folder"]), "given": given, "checkpoint": checkpoint}
        return {**message, **own}

    def _fetched(self, folder: Path, objects: Mapping[str, str]) -> Path:
        """The folder, with these files in it; actors of one machine wait for each other."""
        import filelock

        lacking = {n: sha256 for n, sha256 in objects.items() if not (folder / n).exists()}
        if lacking:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock"):
                for name, sha256 in lacking.items():
                    self._fetch(folder, name, sha256)
        return folder

    def _fetch(self, folder: Path, name: str, sha256: str) -> None:
        if not INSIDE.fullmatch(name):
            do = "Give it a name of letters, digits, dots and dashes."
            raise RunError(name, "cannot be sent to another machine", do=do)
        if (folder / name).exists():  # another actor was quicker
            return
        with files.whole(folder / name) as part:
            if not self.remote.get(part, "objects", sha256):
                raise RunError(self.remote.url, f"does not hold {name}", got=sha256[:16], do=AGAIN)
            if files.digest(part)["sha256"] != sha256:
                self.remote.set_aside("objects", sha256)
                raise RunError(self.remote.url, f"{name} is damaged", got=sha256[:16], do=AGAIN)


class _NoUseError(Exception):
    """What came is not to get its name."""


def _damage(path: Path, name: str) -> str:
    """What is wrong with a part; empty where it is whole and holds what its name says."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
            arrays = {column: archive[column] for column in archive.files}
        ids = [sample_id.decode() for sample_id in arrays["ids"].tolist()]
        if name != blocks.part_name(ids) or any(len(a) != len(ids) for a in arrays.values()):
            return "it holds other samples than its name says"
    except Exception as error:  # anybody's bytes make numpy raise anything
        return line(error)
    return ""
