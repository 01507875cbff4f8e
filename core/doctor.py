"""What `sftlens doctor` tells: versions, device, number formats, model, cache and store."""

import shutil
from collections.abc import Iterator

from core import config, files, models, runs, store
from core.engines import hardware
from core.errors import SFTLensError
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
