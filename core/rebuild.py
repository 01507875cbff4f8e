"""A damaged store -> a new one, from what stands beside it: journal, copies, measured parts.

The new file is made beside the old one, which goes on being read and written as far as it can be;
what is written meanwhile comes at the end. The old file is set aside.
"""

import os
from contextlib import suppress
from pathlib import Path

from core import access, config, files, store
from core.errors import StoreError
from core.progress import Progress
from core.retelling import Account, retell
from core.store import catching_up, journal, turns
from core.store.look import damage


@access.acts("rebuild", lambda *_, **__: "the store")
def rebuild(progress: Progress | None = None, anyway: bool = False) -> Account:
    """Make the store anew where it is damaged, or `anyway`. All of it, or nothing is changed.

    Raises:
        StoreError: nothing stands beside the store, or another process has it open.
    """
    import filelock

    path, progress = config.store_path(), progress or Progress(quiet=True)
    with filelock.FileLock(f"{path}.rebuild.lock"):
        if path.is_file() and damage(path) is None and not anyway:
            return Account()
        _salvage(path)
        place = path.with_name(journal.FOLDER)
        found, unreadable = journal.lines(place)
        if not found:
            do = f"Move {path.name} away and import again; what was measured is kept and used."
            raise StoreError(place, "nothing stands beside the store", do=do)
        account = Account(unreadable=unreadable)
        new = path.with_name(".rebuilt.duckdb")
        _remove(new)
        try:
            _tell(new, found, place, progress, account)
            with store.alone(path):
                later = journal.lines(place)[0][len(found) :]
                _tell(new, later, place, progress, account)
                account.aside = _swap(path, new)
        except OSError as error:
            raise config.unwritable(error) from error
        finally:
            _remove(new)
    return account


def _salvage(path: Path) -> None:
    """What an older version left in the store alone, as far as it can still be read."""
    if path.is_file():
        with suppress(StoreError), store.connect(path=path) as con:
            catching_up.catch_up(con, tolerant=True)


def _tell(
    new: Path, lines: list[journal.Line], place: Path, progress: Progress, account: Account
) -> None:
    """Write these lines into the new file, which is there then, whatever comes back."""
    with config.store_at(new), journal.silent():
        with store.connect(write=True):
            pass
        retell(journal.told(lines), place, progress, account)


def _swap(path: Path, new: Path) -> Path | None:
    """Put the new file in place, the old one and its log aside; there is always one in place.

    The log goes into a file that can be read, so that a kill between two steps loses nothing.
    """
    if path.is_file():
        store.settle(path)
    aside = files.free(path.with_name(f"{path.stem}.damaged{path.suffix}"))
    log = path.with_name(f"{path.name}.wal")
    if log.exists():  # it must never be replayed into the new file
        log.rename(aside.with_name(f"{aside.name}.wal"))
    there = path.is_file()
    if there:
        try:
            os.link(path, aside)
        except OSError:  # a disk that knows no second names
            path.rename(aside)
    os.replace(new, path)
    return aside if there else None


def _remove(new: Path) -> None:
    locks = [turns.beside(new, name) for name in (turns.LONG, turns.TURN, turns.DOOR)]
    for path in (new, new.with_name(f"{new.name}.wal"), *locks):
        path.unlink(missing_ok=True)
