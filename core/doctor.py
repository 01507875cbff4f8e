"""What `sftlens doctor` tells: versions, device, number formats, model, cache, store, faults.

With `--bench` also what this machine does: tokens per second by stage, hours for pools.
"""

import shutil
from collections.abc import Iterator

from core import checkup, config, files, hours, kept_rates, models, runs, store, timings
from core.engines import hardware
from core.engines.hardware import Precision
from core.errors import SFTLensError
from core.estimates import Rates, size
from core.forecast import BENCH
from core.models import Checkpoint
from core.progress import Progress, duration
from core.speed import Bench
from core.store import views


def report() -> Iterator[str]:
    """One line a check; a check that fails says what to do and the next one goes on."""
    yield "versions  " + ", ".join(f"{k} {v}" for k, v in runs.versions().items())
    precision = hardware.choose()
    yield f"device    {precision.device}, {precision.dtype} by default"
    speeds = {
        dtype: hardware.gemm_gflops(hardware.Precision(precision.device, dtype))
        for dtype in hardware.DTYPES
    }
    shown = ", ".join(f"{dtype} {speed:,.0f} GFLOP/s" for dtype, speed in speeds.items())
    ratio = speeds["bf16"] / speeds["fp32"]
    yield f"speed     {shown} (bf16 is {ratio:.1f} times fp32)"
    yield from _cache()
    yield _model()
    yield _store()
    found = list(checkup.faults())
    yield from (f"fault     {fault.name}: {fault}" for fault in found)
    if not found:
        yield "faults    none of those that are looked for"


def _cache() -> Iterator[str]:
    try:
        config.check_writable()
    except SFTLensError as error:
        yield f"cache     {error}"
        return
    free = shutil.disk_usage(config.cache_dir()).free / 2**30
    held = sum(p.stat().st_size for p in config.cache_dir().rglob("*") if p.is_file()) / 2**30
    advice = "" if free > 2 else "  Low: a run needs room for a model. Free some space."
    yield f"cache     {config.cache_dir()}, {held:.1f} GB used, {free:.1f} GB free{advice}"


def _model() -> str:
    folder = config.folder("models") / f"gguf-{models.EMBEDDED_SHA256[:16]}"
    ready = files.read_json(folder / "checkpoint.json") is not None
    state = "ready" if ready else "not fetched yet (93 MB, on the first run)"
    return f"model     embedded (SmolLM2-135M-Instruct): {state}"


def _store() -> str:
    try:
        with store.connect() as con:
            facts = views.facts(con)
    except store.NoStoreError:
        return "store     none yet; sftlens demo or sftlens import makes it"
    except SFTLensError as error:
        return f"store     {error}"
    size = config.store_path().stat().st_size / 2**20
    counts = ", ".join(f"{value:,} {name}" for name, value in list(facts.items())[1:])
    return f"store     healthy: schema {facts['schema']}, {counts}, {size:.1f} MB"


def bench(model: str, pool: str, device: str, dtype: str, progress: Progress) -> Iterator[str]:
    """Time the model and the sentence embedder, keep the rates, tell them and what follows.

    Raises:
        ModelError: the model cannot be loaded.
        PoolError: there is no pool by this name.
        ConfigError: the device or the format is not there, or the cache cannot be written.
    """
    found = hours.all_pools(pool)  # a mistake in its name is told before any work
    precision = hardware.choose(device, dtype)
    config.check_writable()
    timed = [models.resolve(name, progress) for name in dict.fromkeys([model, "minilm"])]
    for checkpoint in timed[:1] if model == "fake" else timed:
        yield from _speeds(checkpoint, precision, progress)
    for each in found:
        yield ""
        yield f"{each.name}: from the start, each method under its own settings"
        for method, cost in hours.by_method(each, model, precision):
            left = "unknown" if cost.seconds is None else duration(cost.seconds)
            yield f"  {method.name:24} {left:>12}   {size(cost.needed):>8} on disk"
    yield f"next: sftlens score POOL METHOD --dry-run{'' if model == 'embedded' else _named(model)}"


def _named(model: str) -> str:
    return f" --model {model}"


def _speeds(checkpoint: Checkpoint, precision: Precision, progress: Progress) -> Iterator[str]:
    """Time one model, a line a kind as soon as it is known, and keep its rates."""
    work = Bench(checkpoint, precision)
    before = kept_rates.kept(checkpoint, precision)
    kinds, lines = work.kinds(), list[str]()
    with progress.stage(f"timing {checkpoint.name}", len(kinds), "kinds") as stage:

        def told(kind: str, said: str) -> None:
            lines.append(f"  {kind:20} {said}")
            stage.advance()

        rates = timings.measured(work, kinds, BENCH, told)
    kept_rates.keep(rates)
    yield _conditions(rates, before)
    yield from lines


def _conditions(rates: Rates, before: Rates | None) -> str:
    """Under which conditions the rates hold."""
    threads = "one thread"
    if rates.threads > 1:
        threads += f" (a training: {rates.threads})"
    again = f"; before that {before.date}" if before else ""
    return (
        f"{rates.model}: {rates.precision.replace('-', ', ')}, {threads} in each process,"
        f" {rates.path}, ready in {rates.load_s:.1f} s{again}"
    )
