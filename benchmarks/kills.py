"""Commands killed with -9 at random moments, called again, and compared with an undisturbed run.

    python -m benchmarks.kills [--kills 50] [--seed N]

Import, scoring with the fake engine, ingest (measured parts go into the store), migration of an
older store, and export take turns. A moment is drawn between a command's first change on the disk
and its end. The seed is printed, so that the same moments can be drawn again.
"""

import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import duckdb

from benchmarks.suite.keeping import cache_in
from benchmarks.undisturbed import LIMIT_S, OLD, STEPS, N, World, prepare, started
from core import jobs, store
from core.store import journal

ABOUT_TIME = ("created_at", "applied_at", "seconds")  # columns that no two runs share


def trial(world: World, step: str, fraction: float) -> tuple[bool, list[str]]:
    """Kill a step after this part of its window and call it again.

    Returns: whether it was caught before its end, and what is wrong: nothing, if all is well.
    """
    state = world.folder / "killed"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(world.before(step), state)
    process, began = started(world, step, state)
    while time.monotonic() - began < fraction * world.window_s[step]:
        time.sleep(0.001)
    caught = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_S)
    wrong = [f"after the kill: {fault}" for fault in left(world, step, state)]
    again, _ = started(world, step, state)
    if again.wait(LIMIT_S) != 0:
        return caught, [*wrong, f"the second call ended with {again.returncode}"]
    return caught, wrong + list(_differences(world, step, state))


def left(world: World, step: str, state: Path) -> Iterator[str]:
    """What a kill must not leave: a store between two states, or a run that seems to go on."""
    with cache_in(state / "cache"):
        running = [job.job_id for job in jobs.every() if job.state == "running"]
        if running:
            yield f"jobs {running} are said to run"
    path = state / "cache" / "sftlens.duckdb"
    if not path.exists():
        return
    now = _looked_at(path)
    ends = []
    for place in (world.before(step), world.after(step)):
        if (there := place / "cache" / "sftlens.duckdb").exists():
            with duckdb.connect(str(there), read_only=True) as con:
                ends.append(contents(con))
        else:
            ends.append({})  # where there was no store, an empty one is as good as none
    if now not in ends and _rows(now) not in [_rows(end) for end in ends]:
        yield f"the store is between two states: {sorted(now)}"


def _looked_at(path: Path) -> dict[str, Any]:
    """What a store holds, seen in a copy: the second call meets what the kill left."""
    with tempfile.TemporaryDirectory() as folder:
        for each in (path, path.with_name(f"{path.name}.wal")):
            if each.exists():
                shutil.copyfile(each, Path(folder) / each.name)
        with duckdb.connect(str(Path(folder) / path.name)) as con:
            return contents(con)


def _rows(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without the tables that are empty: of a new file they may be there or not."""
    return {name: rows for name, rows in found.items() if rows and name != "migrations"}


def contents(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Every row of every table, but for times of day."""
    found: dict[str, Any] = {}
    for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        columns = [name for name, *_ in con.execute(f"DESCRIBE {table}").fetchall()]
        kept = ", ".join(f'"{name}"' for name in columns if name not in ABOUT_TIME)
        rows = con.execute(f"SELECT {kept} FROM {table}").fetchall()  # noqa: S608
        found[table] = Counter(map(repr, rows))
    return found


def _differences(world: World, step: str, state: Path) -> Iterator[str]:
    """What the second call left otherwise than an undisturbed one."""
    ends = []
    for place in (state, world.after(step)):
        with store.connect(path=place / "cache" / "sftlens.duckdb") as con:
            ends.append(contents(con))
    if ends[0] != ends[1]:
        names = [name for name in ends[1] if ends[0].get(name) != ends[1][name]]
        yield f"other rows in {names}"
    told = [_told(place) for place in (state, world.after(step))]
    if told[0] != told[1]:
        yield f"another journal: {told}"
    for path in sorted((world.after(step) / "out").glob("[!.m]*")):
        if (state / "out" / path.name).read_bytes() != path.read_bytes():
            yield f"other bytes in {path.name}"
    half = [
        p.name for p in state.rglob("*") if p.name.endswith(".part") or p.parent.name == "spool"
    ]
    if half:
        yield f"half-made files: {half}"
    if step == "migrate" and not list((state / "cache").glob(f"*.schema-{OLD}.*.duckdb")):
        yield "no backup"


def _told(state: Path) -> list[tuple[Any, ...]]:
    lines = journal.told(journal.lines(state / "cache" / journal.FOLDER)[0])
    return [(x.kind, x.facts.get("after"), x.facts.get("run_id"), x.facts.get("n")) for x in lines]


def draws(seed: int, steps: Sequence[str] = STEPS) -> Iterator[tuple[str, float]]:
    """Steps in turn, each with a part of its window."""
    rng = random.Random(seed)
    while True:
        yield from ((step, rng.random()) for step in steps)


@click.command(help=__doc__)
@click.option("--kills", default=50, show_default=True)
@click.option("--samples", default=N, show_default=True)
@click.option("--seed", type=int, default=None, help="The moments (default: others each time).")
def main(kills: int, samples: int, seed: int | None) -> None:
    """Kill and compare; see the module."""
    seed = random.randrange(2**31) if seed is None else seed
    click.echo(f"seed {seed}")
    caught, wrong = Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        world = prepare(Path(folder), samples)
        for step, fraction in draws(seed):
            if caught.total() == kills:
                break
            hit, faults = trial(world, step, fraction)
            caught[step] += hit
            wrong += bool(faults)
            told = "; ".join(faults) or "all rows, nothing left over"
            how = "" if hit else " (ended before)"
            click.echo(
                f"{step:8} {100 * fraction:3.0f} % of {world.window_s[step]:.1f} s{how}: {told}"
            )
    shown = ", ".join(f"{n} of {step}" for step, n in caught.items())
    click.echo(f"{caught.total()} kills ({shown}): {wrong} with a difference")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
