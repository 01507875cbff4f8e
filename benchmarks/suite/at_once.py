"""One process among those that are at a store at once; see `benchmarks/together.py`.

    python -m benchmarks.suite.at_once app|cli READERS WRITES NAME SECONDS
    python -m benchmarks.suite.at_once bulk 0 0 SAMPLES SECONDS

Says "ready", waits for a line, works for so long, and tells what it did as JSON. Sessions of an
app are its threads, as in Streamlit.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from benchmarks.together import BULK, GROWING, POOL
from core import pools, runs, selection, store
from core.domain import RunSpec
from core.loaded import Loaded
from core.recipe import Recipe
from core.rules import Range
from core.store import pools as stored_pools
from core.store import recipes, reviews, views
from core.store import runs as stored

THINK_S = 1.0  # of a session between two questions, on average: a busy person
PAUSE_S = 1.0  # of a writer
GROW_S = 4.0  # between two imports
MORE = 50  # samples of an import
METHOD = "differential_entropy"


class Work:
    """What this process did until its time was over."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.until = time.monotonic() + seconds
        self.reads: list[float] = []
        self.errors: list[str] = []
        self.made: Counter[str] = Counter()
        with store.connect() as con:
            run = stored.newest_run(con, POOL, METHOD)
        self.loaded: Loaded = selection.load(run.run_id)

    def again(self, number: int, act: Callable[[random.Random], None], pause_s: float) -> None:
        """Do something until the time is over; whatever goes wrong is an error shown."""
        chance = random.Random(f"{self.name} {number}")
        while time.monotonic() < self.until:
            try:
                act(chance)
            except Exception as error:  # a person would have seen it
                self.errors.append(f"{self.name}: {type(error).__name__}: {error}")
            time.sleep(chance.expovariate(1 / pause_s))

    def read(self, chance: random.Random) -> None:
        """One question of a page."""
        asked = chance.choice((self._frame, self._counts, self._sample, self._people))
        began = time.perf_counter()
        asked(chance)
        self.reads.append(time.perf_counter() - began)

    def _frame(self, chance: random.Random) -> None:
        with store.connect() as con:
            views.pools(con)
            views.runs(con)

    def _counts(self, chance: random.Random) -> None:
        found = selection.select(self._recipe(chance), self.loaded)
        with store.connect() as con:
            views.previews(con, POOL, found.subset.chosen[:20].tolist())

    def _sample(self, chance: random.Random) -> None:
        with store.connect() as con:
            stored_pools.read_samples(con, POOL, [chance.choice(self.loaded.ids)])

    def _people(self, chance: random.Random) -> None:
        with store.connect() as con:
            reviews.reviews(con, POOL)
            recipes.saved(con, POOL)

    def _recipe(self, chance: random.Random) -> Recipe:
        rule = Range(column="base_nll", high=round(chance.uniform(0.5, 3), 2))
        return Recipe(pool=POOL, method=METHOD, run_id=self.loaded.run.run_id, rules=(rule,))

    def write(self, chance: random.Random) -> None:
        """A verdict and a recipe of somebody who was not there before: none replaces another."""
        who = f"{self.name} {self.made['verdicts']}"
        with store.connect(write=True, people=True) as con:
            reviews.add(con, reviews.Review(POOL, chance.choice(self.loaded.ids), who, "good"))
        self.made["verdicts"] += 1
        with store.connect(write=True, people=True) as con:
            recipes.save(con, who, self._recipe(chance))
        self.made["recipes"] += 1

    def grow(self, chance: random.Random) -> None:
        """Import some samples into a pool, and score it."""
        with TemporaryDirectory() as folder:
            path, begin = Path(folder) / "more.jsonl", self.made["imported samples"]
            rows = [
                {"instruction": f"Say {begin + k}", "output": f"It is {k}"} for k in range(MORE)
            ]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
            pools.import_files([path], GROWING)
        self.made["imported samples"] += MORE
        runs.execute(RunSpec(GROWING, "perplexity", model="fake"))
        self.made["runs"] += 1


def long_import(n: int) -> None:
    """Import n samples at once, when told to, and tell how that went."""
    told: dict[str, Any] = {"errors": [], "made": {}}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bulk.jsonl"
        with path.open("w", encoding="utf8") as out:
            for k in range(n):
                record = {"instruction": f"Count from {k}", "output": f"{k}, " * (k % 40 + 20)}
                out.write(json.dumps(record) + "\n")
        _wait()
        try:
            pools.import_files([path], BULK)
            told["made"] = {"samples of a long import": n}
        except Exception as error:
            told["errors"].append(f"bulk: {type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(told))


def _wait() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main(role: str, readers: int, writes: bool, name: str, seconds: float) -> None:
    """Work and tell; see the module."""
    if role == "bulk":
        long_import(int(name))
        return
    _wait()
    work = Work(name, seconds)
    acts: list[tuple[Any, float]] = [(work.read, THINK_S)] * readers
    acts += [(work.write, PAUSE_S)] * writes
    acts += [(work.grow, GROW_S)] * (role == "cli")
    threads = [Thread(target=work.again, args=(k, *act)) for k, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = {"reads": work.reads, "errors": work.errors, "made": work.made}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4], float(sys.argv[5]))
