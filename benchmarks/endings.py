"""How soon Ctrl-C ends an import, a map and an export, at moments drawn at random.

    python -m benchmarks.endings [--samples 100000] [--times 5] [--seed N]

Moments are drawn between a command's first change on the disk and the end of an undisturbed call;
a map's within its first minute, most of which is UMAP and its compilation. The seed is printed.
"""

import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.kills import left
from benchmarks.suite.keeping import cache_in
from benchmarks.undisturbed import LIMIT_S, World, prepare, started
from core import pools, runs
from core.domain import RunSpec

COMMANDS = ("import", "map", "export")
MAP_S = 60.0
BOUND_S = 3.0
LIGHT = {"width": 16, "checkpoints": 1}
QUERIES = "".join(f'{{"instruction": "Ask {k}", "output": "{k}"}}\n' for k in range(4))


def prepare_map(world: World) -> None:
    """A pool with vectors of the fake engine, to be laid out."""
    shutil.copytree(world.after("import"), world.before("map"))
    queries = world.folder / "queries.jsonl"
    queries.write_text(QUERIES, "utf8")
    with cache_in(world.before("map") / "cache"):
        pools.import_files([queries], "asked", "query")
        spec = RunSpec("pool", "gradient_similarity", LIGHT, "fake", "cpu", query="asked")
        runs.execute(spec)
    world.window_s["map"] = MAP_S


def stop(world: World, command: str, after_s: float) -> tuple[float, int, list[str]]:
    """Start a command and press Ctrl-C: seconds until it ended, its exit code, what is wrong."""
    state = world.folder / "stopped"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(world.before(command), state)
    process, began = started(world, command, state)
    time.sleep(max(0.0, began + after_s - time.monotonic()))
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    code = process.wait(LIMIT_S)
    return time.monotonic() - pressed, code, list(left(world, command, state))


@click.command(help=__doc__)
@click.option("--samples", default=100_000, show_default=True)
@click.option("--times", default=5, show_default=True, help="Of each command.")
@click.option("--seed", type=int, default=None, help="The moments (default: others each time).")
def main(samples: int, times: int, seed: int | None) -> None:
    """Stop and time; see the module."""
    seed = random.randrange(2**31) if seed is None else seed
    click.echo(f"seed {seed}")
    rng, worst, wrong = random.Random(seed), 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        world = prepare(Path(folder), samples)
        prepare_map(world)
        for command in COMMANDS * times:
            after_s = rng.random() * world.window_s[command]
            took_s, code, faults = stop(world, command, after_s)
            worst, wrong = max(worst, took_s), wrong + bool(faults)
            told = "; ".join(faults) or "what was there stands"
            click.echo(f"{command:8} after {after_s:.2f} s: {took_s:.2f} s, exit {code}, {told}")
    click.echo(f"worst {worst:.2f} s, bound {BOUND_S} s; {wrong} with a difference")
    sys.exit(1 if wrong or worst > BOUND_S else 0)


if __name__ == "__main__":
    main()
