"""Steps that a person takes one after the other, and the disk before and after each."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.suite.keeping import cache_in
from core import config, pools
from core.store import aside, journal, schema

STEPS = ("import", "score", "ingest", "migrate", "export")
OLD = 3  # steps of the schema that the older store has seen
N = 4000  # samples
DELAY_S = 0.0004  # of a sample, to measure it
LIMIT_S = 240.0
SCORE = ("score", "pool", "perplexity", "--model", "fake", "--device", "cpu")


@dataclass
class World:
    """Folders with the state before and after each step of an undisturbed run.

    `window_s`: from its first change on the disk to its end.
    """

    folder: Path
    window_s: dict[str, float] = field(default_factory=dict)

    def before(self, step: str) -> Path:
        """The state in which a step begins."""
        return self.folder / f"before-{step}"

    def after(self, step: str) -> Path:
        """The state that it leaves."""
        return self.folder / f"after-{step}"

    def command(self, step: str, state: Path) -> tuple[str, ...]:
        """What a person types for it."""
        out = ("--budget", "50%", "--rejected", "--extras", "--out", str(state / "out"))
        return {
            "import": ("import", str(self.folder / "pool.jsonl"), "--pool", "pool"),
            "score": SCORE,
            "ingest": SCORE,
            "migrate": ("pools",),
            "export": ("select", "pool", "--method", "perplexity", *out),
            "map": ("map", "pool", "--of", "gradients"),  # of benchmarks.endings alone
        }[step]


def prepare(folder: Path, n: int = N) -> World:
    """Run every step undisturbed, and keep the states between them."""
    world = World(folder)
    file = folder / "pool.jsonl"
    rows = ({"instruction": f"Count to {k}", "output": f"{k} " * (k % 17 + 1)} for k in range(n))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    world.before("import").mkdir()
    undisturbed(world, "import")
    shutil.copytree(world.after("import"), world.before("score"))
    undisturbed(world, "score")
    shutil.copytree(world.after("import"), world.before("ingest"))
    shutil.copytree(world.after("score") / "cache/blocks", world.before("ingest") / "cache/blocks")
    undisturbed(world, "ingest")
    shutil.copytree(world.after("score"), world.before("export"))
    undisturbed(world, "export")
    older(world.before("migrate") / "cache", file)
    undisturbed(world, "migrate")
    return world


def older(cache: Path, file: Path) -> None:
    """A store as it was `OLD` steps after the first version, with a pool."""
    newest, long_s = schema.MIGRATIONS, aside.LONG_S
    schema.MIGRATIONS, aside.LONG_S = newest[:OLD], float("inf")  # which wrote into the file itself
    try:
        with cache_in(cache):
            pools.import_files([file], "pool")
        shutil.rmtree(cache / journal.FOLDER)  # which came later
    finally:
        schema.MIGRATIONS, aside.LONG_S = newest, long_s


def undisturbed(world: World, step: str) -> None:
    """Run a step from its state before to its state after."""
    state = world.after(step)
    shutil.copytree(world.before(step), state)
    process, began = started(world, step, state)
    if process.wait(LIMIT_S) != 0:
        raise RuntimeError(f"{step} failed undisturbed")
    world.window_s[step] = time.monotonic() - began


def started(world: World, step: str, state: Path) -> tuple["subprocess.Popen[bytes]", float]:
    """The command, and when it first changed something."""
    seen, deadline = _files(state), time.monotonic() + LIMIT_S
    own = {"SFTLENS_CACHE": str(state / "cache"), "SFTLENS_FAKE_DELAY_S": str(DELAY_S)}
    process = subprocess.Popen(
        [sys.executable, "-m", "core.cli", *world.command(step, state)],
        env=os.environ | own,
        cwd=config.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while _files(state) == seen and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    return process, time.monotonic()


def _files(state: Path) -> dict[str, int]:
    found = {}
    for place, _, names in os.walk(state):
        for name in (".", *names):
            path = os.path.join(place, name)
            try:
                found[path] = os.stat(path).st_mtime_ns
            except FileNotFoundError:
                continue
    return found
