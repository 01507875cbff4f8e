"""Fixtures for every test: a cache of its own, golden numbers, samples, the embedded model."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from core import config, models
from core.domain import Sample, Turn
from core.errors import ModelError
from core.models import Checkpoint

hypothesis.settings.register_profile("house", deadline=None)  # no test is timed
hypothesis.settings.load_profile("house")

ROOT = Path(__file__).resolve().parents[1]
REAL_CACHE = config.cache_dir()  # before any test moves it
REPORT: list[str] = []  # measured figures, shown at the end of the session

# A shell that runs the tests in the background makes them, and all they start, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ.setdefault("NUMBA_CACHE_DIR", str(REAL_CACHE / "numba"))  # so UMAP compiles once
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads collapse beside another busy process


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", type=Path, metavar="DIR", help="golden numbers to test against")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that has a share of the suite hands on what it measured."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["report"] = REPORT


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what such a process measured; called where there are some alone."""
    REPORT.extend(getattr(node, "workeroutput", {}).get("report", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in REPORT:
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def report() -> list[str]:
    """Lines to show at the end of the session."""
    return REPORT


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Path:
    """The folder of golden numbers: `--golden`, else ../shared/golden, else the copy here."""
    asked: Path | None = request.config.getoption("--golden")
    if asked is not None:
        if not asked.is_dir():
            raise pytest.UsageError(f"--golden: there is no folder {asked}")
        return asked
    shared = ROOT.parent / "shared" / "golden"
    return shared if shared.is_dir() else ROOT / "tests" / "golden" / "synthetic"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data that is read in place and never copied."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}")
    return folder


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """40 small conversations: plain, multi-turn, with a system turn, emoji, right-to-left."""
    tasks = ("Add {} and {}", "List {} words that rhyme with {}", "Is {} larger than {}?")
    answers = ("It is {}.", "{} words, of course:\nsea, {} tea", "No.", "def f():\n    return {}")
    plain = [
        (tasks[k % 3].format(k, k * k), answers[k % 4].format(k + 1, k) + " ok" * (k % 9))
        for k in range(34)
    ]
    plain += [
        ("Say hello 👋 in three scripts", "Hello, Здравствуйте, 你好 👩‍👩‍👧 🎉"),
        ("ترجم: صباح الخير", "بوكر טוב, good morning"),
        ("Repeat after me", "Repeat after me"),
        ("Write Markdown", "# Title\n\n- one\n- two\n\n```py\nprint('<|im_end|>')\n```"),
    ]
    pool = [Sample((Turn("user", ask), Turn("assistant", say)), "tests") for ask, say in plain]
    first, last = pool[0].turns, pool[1].turns
    pool.append(Sample((*first, *last, Turn("user", "Why?"), Turn("assistant", "Logic.")), "tests"))
    pool.append(Sample((Turn("system", "You are terse."), *first), "tests"))
    return pool


@pytest.fixture(scope="session")
def embedded() -> Checkpoint:
    """The real embedded model, fetched and converted once into the real cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(REAL_CACHE))
        try:
            checkpoint = models.resolve("embedded")
        except ModelError as error:
            if "cannot be fetched" not in str(error):
                raise
            pytest.skip(f"the embedded model is not here: {error}")
    return checkpoint


@pytest.fixture
def embedded_cache(embedded: Checkpoint) -> Path:
    """This test's own cache, in which the name `embedded` resolves without any download."""
    source = Path(embedded.folder)
    (config.folder("models") / source.name).symlink_to(source, target_is_directory=True)
    return config.cache_dir()


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """The cache on a disk of its own; call it with a size in kB, which may be changed later."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> None:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if made.returncode:
            pytest.skip(f"cannot mount a small disk here: {made.stderr.decode().strip()}")

    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    mount("size=400k")
    monkeypatch.setenv("SFTLENS_CACHE", str(folder / "cache"))
    yield lambda kb: mount(f"remount,size={kb}k")
    subprocess.run(["umount", "-l", str(folder)], check=True)
