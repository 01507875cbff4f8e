"""The files of a manifest, made again and compared byte for byte."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from core import export, files, store
from core.errors import ManifestError
from core.manifest import MANIFEST
from core.recipe import Recipe
from core.store import pools
from core.store import runs as stored


@dataclass(frozen=True)
class Replayed:
    """What a replay made, and what differs from the manifest (empty: nothing)."""

    folder: Path
    files: tuple[str, ...]
    differences: tuple[str, ...]


def replay(manifest_path: Path, out: Path | None = None) -> Replayed:
    """Make the files of a manifest again from the store, and compare their SHA-256.

    Written to `out`, by default a folder `replay` beside the manifest.

    Raises:
        ManifestError: not a manifest, of a newer layout, or `out` is the manifest's own folder.
        RunError: the run behind it is not in the store.
    """
    was = read_manifest(manifest_path)
    folder = out or manifest_path.parent / "replay"
    if folder.resolve() == manifest_path.parent.resolve():
        do = "Give another folder: --out DIR."
        raise ManifestError(folder, "holds the files that the replay is compared with", do=do)
    now = _pool_now(was.recipe, was.pool)
    made = export.export(was.recipe, was.layout, folder)
    differences = [now] if now else []
    for name in sorted(was.files | made["files"]):
        then, found = was.files.get(name), made["files"].get(name)
        if then is None or found is None:
            differences.append(f"{name}: {'not in the manifest' if found else 'not made'}")
        elif found["sha256"] != then.sha256:
            differences.append(
                f"{name}: {found['rows']:,} rows, {then.rows:,} expected;"
                f" SHA-256 {found['sha256'][:12]}, not {then.sha256[:12]}"
            )
    if differences:
        new = made["versions"]
        differences += [
            f"{k}: {was.versions.get(k)} then, {new[k]} now"
            for k in new
            if was.versions.get(k) != new[k]
        ]
    return Replayed(folder, tuple(made["files"]), tuple(differences))


class _Written(BaseModel):
    rows: int
    sha256: str


class _Pool(BaseModel):
    fingerprint: str


class _Manifest(BaseModel):
    """The fields of a manifest that a replay reads."""

    recipe: Recipe
    layout: export.Layout
    pool: _Pool
    files: dict[str, _Written]
    versions: dict[str, str] = Field(default_factory=dict)


def read_manifest(path: Path) -> _Manifest:
    """What a replay needs of a manifest.

    Raises:
        ManifestError: there is no such file, or it is no manifest of this layout.
    """
    manifest = files.read_json(path)
    do = "Give the manifest.json that an export wrote."
    if not path.is_file():
        raise ManifestError(path, "there is no such file", do=do)
    if not isinstance(manifest, dict) or manifest.get("manifest") != MANIFEST:
        got = manifest.get("manifest", "no version") if isinstance(manifest, dict) else "no object"
        raise ManifestError(path, "is not a manifest I can read", got=got, do=do)
    try:
        return _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        field, what = ".".join(map(str, first["loc"])), first["msg"].lower()
        raise ManifestError(path, f"its field {field} is wrong: {what}", do=do) from None


def _pool_now(recipe: Recipe, pool: _Pool) -> str:
    """What is different about the run's pool, or an empty text."""
    with store.connect() as con:
        pools.get_pool(con, recipe.pool)
        run = stored.get_run(con, recipe.run_id)
    if run is None or run.fingerprint == pool.fingerprint:
        return ""  # a missing run is the error of `select`
    return f"pool {recipe.pool}: fingerprint {run.fingerprint}, not {pool.fingerprint}"
