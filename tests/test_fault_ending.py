"""Ctrl-C in an import, a map or an export: it ends, says one line, and leaves what was there.

How soon: python -m benchmarks.endings.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls import PATIENCE_S, ended, jsonl, python, rows, start, wait_until

from benchmarks.kills import contents
from core import cli, config, pools, runs, store
from core.domain import RunSpec

STUCK = """
import hashlib, sys, threading
from core import cli, pools
def preview(*_):
    threading.Timer(0.5, lambda: print("now", file=sys.stderr, flush=True)).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # minutes in which Python hears nothing
pools.preview = preview
cli.main()
"""


def held() -> dict[str, Any]:
    with store.connect() as con:
        return contents(con)


def stopped(process: Any, true: Callable[[], Any]) -> None:
    """Ctrl-C once it is true; one line, and no stack trace."""
    wait_until(true, process)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (130, ""), err
    assert err.splitlines()[-1] == cli.STOPPED
    assert "Traceback" not in err


def left_over() -> list[Path]:
    cache = config.cache_dir()
    return [*cache.rglob("*.part"), *(cache / "spool").glob("*"), *cache.glob("journal/*.parquet")]


@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGTERM])
def test_what_never_hears_of_ctrl_c_is_ended_all_the_same(
    signal_sent: signal.Signals, tmp_path: Path
) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    process = python(str(script), "import", "x.jsonl", PYTHONPATH=str(config.ROOT))
    assert process.stderr is not None
    assert process.stderr.readline() == "now\n"
    process.send_signal(signal_sent)
    code, out, err = ended(process)
    assert (code, out, err.strip()) == (130, "", cli.STOPPED)


def test_it_is_ended_where_nobody_is_left_to_hear_the_last_word(tmp_path: Path) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    process = python(str(script), "import", "x.jsonl", PYTHONPATH=str(config.ROOT))
    assert process.stderr is not None
    assert process.stderr.readline() == "now\n"
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    with process:
        try:
            assert process.wait(PATIENCE_S) == cli.ending.CODE
        finally:
            process.kill()


def grown(pattern: str, least: int) -> Callable[[], bool]:
    """Whether a file of the cache has so many bytes."""
    return lambda: any(p.stat().st_size >= least for p in config.cache_dir().glob(pattern))


@pytest.mark.parametrize(
    ("pattern", "least"), [("spool/*.parquet", 1), ("*.duckdb", 0), ("*.duckdb.wal", 20_000)]
)
def test_an_import_that_is_stopped_adds_all_or_nothing_and_can_be_called_again(
    pattern: str, least: int, tmp_path: Path
) -> None:
    file = jsonl(tmp_path / "pool.jsonl", rows(12_000))
    stopped(start("import", file, "--pool", "pool"), grown(pattern, least))
    there = held()["samples"].total() if config.store_path().exists() else 0
    assert there in (0, 12_000)  # all, where it was pressed while the transaction ended
    assert len(left_over()) <= 1  # the copy, which may stay where it is open whether all is there
    assert left_over() or not there
    books, made = pools.import_files([file], "pool")
    assert (books.imported, len(made)) == (12_000 - there, 12_000)


@pytest.fixture
def scored(tmp_path: Path) -> str:
    pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(3000))], "pool")
    pools.import_files([jsonl(tmp_path / "asked.jsonl", rows(4, 5000))], "asked", "query")
    params = {"width": 16, "checkpoints": 1}
    spec = RunSpec("pool", "gradient_similarity", params, "fake", "cpu", query="asked")
    return runs.execute(spec).run.run_id


def test_a_map_that_is_stopped_leaves_the_store_as_it_was(scored: str) -> None:
    before = held()
    process = start("map", "pool", "--of", "gradients")
    assert process.stderr is not None
    assert "mapping gradients of 3,000 samples\n" in iter(process.stderr.readline, "")
    stopped(process, lambda: True)
    assert held() == before
    assert not list(config.cache_dir().rglob("*.part"))


def test_an_export_that_is_stopped_leaves_an_export_of_before(scored: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("select", "pool", "--method", "gradient_similarity", "--out", out, "--extras")
    assert ended(start(*words, "--budget", "10%"))[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    process = start(*words, "--budget", "90%")
    stopped(process, lambda: list(out.glob("*.part")))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
