"""The manifest of the bundled demo: what it holds, how it was made, the SHA-256 of every file."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core import config, files
from core.domain import PoolKind
from core.errors import ManifestError
from core.recipe import Recipe
from core.store import runs as stored
from core.store.maps import StoredMap

FOLDER = config.ROOT / "cache" / "demo"
NAME = "manifest.json"
BUDGET = "10%"


class _Piece(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Held(_Piece):
    """A pool or query set of the bundle."""

    name: str
    kind: PoolKind
    fingerprint: str
    n: int


class Chosen(_Piece):
    """A run, and the ids that its method's own policy takes of a tenth, in order of choice."""

    run: stored.Run
    policy: str
    selected: tuple[str, ...]

    def recipe(self) -> Recipe:
        """What was asked for."""
        run = self.run
        return Recipe(
            pool=run.pool,
            method=run.method,
            run_id=run.run_id,
            policy=self.policy,
            budget=BUDGET,
        )


class Digest(_Piece):
    """What a file must be."""

    sha256: str
    size: int


class Manifest(_Piece):
    """All that the bundle holds. `left_out`: folders of measured parts that were too large."""

    bundle: Literal[1] = 1
    versions: dict[str, str]
    pools: tuple[Held, ...]
    runs: tuple[Chosen, ...]
    maps: tuple[StoredMap, ...]
    parts: tuple[str, ...]
    left_out: tuple[str, ...]
    files: dict[str, Digest]


def digest(path: Path) -> Digest:
    """What a file is."""
    data = path.read_bytes()
    return Digest(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def read(folder: Path = FOLDER) -> Manifest:
    """The manifest of a bundle whose files are all what it says.

    Raises:
        ManifestError: one is not.
    """
    do = "Bring it back from the repository, or score the demo: sftlens demo."
    try:
        manifest = Manifest.model_validate(files.read_json(folder / NAME))
    except ValidationError:
        raise ManifestError(folder / NAME, "is not the manifest of a bundle", do=do) from None
    for name, right in manifest.files.items():
        path = folder / name
        if not path.is_file() or digest(path) != right:
            what = "is damaged" if path.is_file() else "is gone"
            raise ManifestError(path, f"this file of the bundled demo {what}", do=do)
    return manifest
