"""Is the estimate of a dry run true? A dry run, then the run itself, on a small pool.

    python -m benchmarks.estimates [METHOD...] [--samples 48] [--model embedded]

Works in a cache of its own, with the models of the present one, on a part of the demo pool under
the demo's light settings. Prints seconds and bytes as told and as they were, and their ratios.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from core import config, forecast, models, pools, runs
from core.demo import FOLDER, QUERY, SETTINGS
from core.domain import RunSpec
from core.estimates import size
from core.methods import build, catalogue
from core.progress import Progress

METHODS = (
    *("perplexity", "answer_entropy", "differential_entropy", "gradient_similarity"),
    *("answer_divergence", "loss_trajectory"),
)
POOL = "judged"


class Judged(NamedTuple):
    """What was told of a run, and what it was."""

    told_s: float
    was_s: float
    told_bytes: int
    was_bytes: int


@contextmanager
def own_cache() -> Iterator[Path]:
    """An empty cache that has the models and the rates of the present one."""
    present = config.cache_dir()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        (cache / "models").mkdir()
        for model in present.glob("models/gguf-*"):
            if model.is_dir():
                (cache / "models" / model.name).symlink_to(model, target_is_directory=True)
        if (present / "bench").is_dir():
            (cache / "bench").symlink_to(present / "bench", target_is_directory=True)
        os.environ["SFTLENS_CACHE"] = folder
        try:
            yield cache
        finally:
            os.environ["SFTLENS_CACHE"] = str(present)


def settings(method: str) -> dict[str, object]:
    """The demo's settings that this method has; its own before those of all."""
    known = catalogue()[method].model_fields
    shared = {name: value for name, value in SETTINGS.items() if name in known}
    own = {name.partition(".")[2]: v for name, v in SETTINGS.items() if name.startswith(method)}
    return shared | own


def judged(spec: RunSpec) -> Judged:
    """Tell what a run takes, then run it."""
    told = forecast.forecast(spec, lambda kind, said: click.echo(f"  timed {kind}: {said}"))
    before, began = written(), time.perf_counter()
    runs.execute(spec, Progress(quiet=True))
    was_s = time.perf_counter() - began
    [part] = told.parts
    kept = sum(stage.kept for stage in part.stages[:-1])  # the store grows by blocks of its own
    return Judged(told.estimate.seconds or 0.0, was_s, kept, written() - before)


def written() -> int:
    """Bytes of parts and checkpoints."""
    places = [config.cache_dir() / name for name in ("blocks", "models")]
    return sum(p.stat().st_size for place in places for p in place.rglob("*") if p.is_file())


@click.command(help=__doc__)
@click.argument("methods", nargs=-1)
@click.option("--samples", type=click.IntRange(8, 160), default=48, show_default=True)
@click.option("--model", default="embedded", show_default=True)
def main(methods: tuple[str, ...], samples: int, model: str) -> None:
    """Judge the estimates; see the module."""
    models.resolve(model)
    with own_cache():
        pools.import_files([FOLDER / "pool.jsonl"], POOL, limit=samples)
        pools.import_files([FOLDER / "query.jsonl"], QUERY, "query")
        click.echo(f"{'method':24} {'told':>8} {'was':>8} {'ratio':>6}  bytes told, were, ratio")
        for method in methods or METHODS:
            query = QUERY if build(method).needs_query() else ""
            found = judged(RunSpec(POOL, method, settings(method), model, query=query))
            times = f"{found.told_s:7.1f}s {found.was_s:7.1f}s {found.told_s / found.was_s:6.2f}"
            ratio = found.told_bytes / max(found.was_bytes, 1)
            sizes = f"{size(found.told_bytes)}, {size(found.was_bytes)}, {ratio:.2f}"
            click.echo(f"{method:24} {times}  {sizes}")


if __name__ == "__main__":
    main()
