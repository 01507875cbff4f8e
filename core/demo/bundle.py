"""The scored demo as Parquet in the repository: opened in seconds, with no model and no network.

Pool, query set, runs, maps and the smaller measured parts; its manifest says the rest. Opening
goes through the functions that scoring uses, so runs and maps keep their ids.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from core import access, config, files, runs, store
from core.demo import QUERY, pieces
from core.demo.manifest import FOLDER, NAME, Chosen, Held, Manifest, digest, read
from core.errors import PoolError, RunError
from core.methods import catalogue
from core.selection import select
from core.store import Connection, maps, pools, views
from core.store import runs as stored
from core.store.maps import Of, StoredMap

MOST_BYTES = 3_000_000  # of all files together
MANIFEST_BYTES = 100_000  # kept free for the manifest
OF: tuple[Of, ...] = ("instructions", "gradients", "answers")


def make(name: str = "demo", folder: Path = FOLDER) -> Manifest:
    """Write the bundle of a scored pool and its query set into a folder, all of it anew.

    Raises:
        PoolError: there is no such pool.
        RunError: it was not scored.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as scratch:
        new = Path(scratch) / folder.name
        new.mkdir()
        manifest = _write(name, new)
        files.write_json(new / NAME, manifest.model_dump(mode="json"))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return manifest


def _write(name: str, folder: Path) -> Manifest:
    with store.connect() as con:
        held = [pieces.write_pool(con, each, folder) for each in (name, QUERY)]
        found = [
            stored.newest_run(con, name, m) for m in catalogue() if stored.has_run(con, name, m)
        ]
        laid = [row for of in OF if (row := _map(con, name, of)) is not None]
        for run in found:
            pieces.write_run(con, run, folder)
        for row in laid:
            pieces.write_map(con, row.map_id, folder)
    if not found:
        raise RunError(name, "there is nothing to bundle", do="Score it first: sftlens demo.")
    parts, left_out = _write_parts(found, folder)
    return Manifest(
        versions=runs.versions(),
        pools=tuple(
            Held(name=p.name, kind=p.kind, fingerprint=p.fingerprint, n=len(p)) for p in held
        ),
        runs=tuple(_chosen(run) for run in found),
        maps=tuple(laid),
        parts=parts,
        left_out=left_out,
        files={path.name: digest(path) for path in sorted(folder.iterdir())},
    )


def _map(con: Connection, pool: str, of: Of) -> StoredMap | None:
    try:
        return maps.newest_map(con, pool, of)
    except RunError:
        return None


def _chosen(run: stored.Run) -> Chosen:
    asked = Chosen(run=run, policy=catalogue()[run.method].policy, selected=())
    selection = select(asked.recipe())
    ids = tuple(selection.ids[row] for row in selection.subset.chosen.tolist())
    return asked.model_copy(update={"selected": ids})


def _write_parts(
    found: Sequence[stored.Run], folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write measured parts, the smallest first, while the bundle stays small.

    Returns: the folders of blocks that are in it, and those that are not.
    """
    names = {name for run in found for name in run.card.get("parts", {}).values()}
    size = {name: _size(config.folder("blocks") / name) for name in names}
    room = MOST_BYTES - MANIFEST_BYTES - _size(folder)
    taken = []
    for name in sorted((n for n in names if size[n]), key=lambda n: (size[n], n)):
        pieces.write_parts(name, folder)
        path = folder / pieces.parts_file(name)
        room -= path.stat().st_size
        if room < 0:
            path.unlink()
            break
        taken.append(name)
    return tuple(sorted(taken)), tuple(sorted(names - set(taken)))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*"))


def load(folder: Path = FOLDER) -> bool:
    """Put the bundle into the store, all of it or nothing; False where nothing had to be done.

    A demo pool that was scored already is left as it is.

    Raises:
        ManifestError: a file of the bundle is gone, or is not what the manifest says.
        PoolError: a pool by one of its names holds other samples.
    """
    manifest = read(folder)
    if _is_there(manifest):
        return False
    with access.act("import", "the demo"):
        _put(manifest, folder)
    return True


def _put(manifest: Manifest, folder: Path) -> None:
    for name in manifest.parts:
        pieces.read_parts(name, folder)
    with store.connect(write=True) as con:
        for held in manifest.pools:
            pools.add_pool(con, held.name, held.kind, pieces.pool_file(folder, held.name))
        ids = pools.get_pool(con, manifest.pools[0].name).sample_ids
        for chosen in manifest.runs:
            stored.add_run(con, chosen.run, ids, pieces.read_run(folder, chosen.run.run_id))
        for row in manifest.maps:
            maps.add_map(con, row, ids, pieces.read_map(folder, row))


def _is_there(manifest: Manifest) -> bool:
    """Whether the pool was scored already.

    Raises:
        PoolError: a pool by one of the names holds other samples.
    """
    try:
        with store.connect() as con:
            frame = views.pools(con)
            scored = any(stored.has_run(con, c.run.pool, c.run.method) for c in manifest.runs)
    except store.NoStoreError:
        return False
    there = dict(zip(frame["pool"], frame["fingerprint"], strict=True))
    for held in manifest.pools:
        if there.get(held.name, held.fingerprint) != held.fingerprint:
            do = "Open the demo with SFTLENS_CACHE set to another folder."
            raise PoolError(held.name, "a pool by this name holds other samples", do=do)
    return scored
