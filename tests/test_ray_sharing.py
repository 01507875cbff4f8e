"""Machines that see no folder together: parts and models go by way of a URL, and no score changes.

One cluster on this machine, whose nodes have two caches of their own, neither that of a test.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from calls import FAKE, METHOD, sftlens
from test_executors import SIGNALS, Pool, measured, same, task
from tiny import CHATML, byte_bpe, save_adapter, save_model

from benchmarks.nodes import Nodes, outcome, records
from core import blocks, files
from core.blocks import Block, Task, planned
from core.domain import Sample
from core.engines.fake import FakeEngine
from core.engines.hardware import Precision
from core.errors import RunError
from core.executors import Serial, opened, room
from core.executors.ray_actors import Ray
from core.executors.remote import Remote
from core.executors.sharing import Share
from core.executors.waiting import TRIES, Waiting
from core.signals import Answers, Signal, TokenStats

needs_ray = pytest.mark.skipif(not find_spec("ray"), reason='needs pip install "sftlens[ray]"')


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The caches of the cluster's machines: three nodes are on the first, one on the second."""
    return [tmp_path_factory.mktemp(name) for name in ("first", "second")]


@pytest.fixture(scope="module")
def nodes(machines: list[Path]) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_FAKE_DELAY_S", "0.01")
        patch.setenv("SFTLENS_CACHE", str(machines[0]))
        made = Nodes()
        patch.setenv("SFTLENS_CACHE", str(machines[1]))
        made.add()
    yield made
    made.close()


@pytest.fixture(scope="module")
def session(nodes: Nodes) -> Iterator[Ray]:
    """The Ray session of all tests; what it measures is not asked for."""
    with Ray(nodes.address) as executor:
        yield executor


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path / 'shared'}"


def under(url: str, pattern: str) -> list[Path]:
    return sorted(Path(url.removeprefix("file://")).glob(pattern))


def names(paths: Sequence[Path]) -> list[str]:
    return sorted(path.name for path in paths)


class Few(Ray):
    """Counts the blocks that are measured, and is stopped after so many."""

    measured, most = 0, 10**9

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        for block in super().map(task, blocks):
            self.measured += 1
            yield block
            if self.measured == self.most:
                raise KeyboardInterrupt


@needs_ray
@pytest.mark.parametrize("signal", SIGNALS, ids=lambda s: type(s).__name__)
def test_serial_and_ray_give_the_same_parts(
    signal: Signal,
    samples: list[Sample],
    session: Ray,
    machines: list[Path],
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Answers, "per_block", 7)
    fetch, name = Pool(samples), f"parts-{type(signal).__name__}"
    right = measured(Serial(), task(fetch, tmp_path / "serial", signal))
    with opened("ray", share=url) as executor:
        same(measured(executor, task(fetch, tmp_path / name, signal)), right)
    there = [path for cache in machines for path in cache.glob(f"blocks/{name}/part-*.npz")]
    assert names(there) == names(under(url, f"blocks/{name}/*")) == sorted(right)
    given = [path for cache in machines for path in cache.glob(f"blocks/{name}-given/part-*.npz")]
    own = names(list((tmp_path / f"{name}-given").glob("part-*.npz")))
    assert set(names(given)) == set(own)
    assert bool(own) == (signal.after is not None)
    assert len(under(url, "objects/*")) == len(own)


@needs_ray
def test_a_model_that_only_the_parent_has_gives_the_same_bits(
    samples: list[Sample], session: Ray, machines: list[Path], url: str, tmp_path: Path
) -> None:
    base = save_model(tmp_path / "model", byte_bpe(CHATML))
    checkpoint, _ = save_adapter(base, tmp_path / "adapter.safetensors")
    fetch = Pool(samples)
    work = task(fetch, tmp_path / "serial", TokenStats(), checkpoint)
    with room.one_thread(work.engine):
        right = measured(Serial(), work)
    with opened("ray", share=url) as executor:
        same(
            measured(executor, task(fetch, tmp_path / "model-parts", TokenStats(), checkpoint)),
            right,
        )
    came = [path for cache in machines for path in cache.glob("models/*/*.safetensors")]
    assert {path.read_bytes() for path in came} == {
        Path(base.folder, "model.safetensors").read_bytes(),
        Path(checkpoint.adapter).read_bytes(),
    }


@needs_ray
def test_a_run_goes_on_from_what_is_under_the_url_alone(
    session: Ray, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "block_tokens", 100)
    pool = records(tmp_path / "pool.json", 150)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "serial"))
    right = outcome(pool)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "stopped"))
    with Few(share=url) as stopped:
        stopped.most = 5
        with pytest.raises(KeyboardInterrupt):
            outcome(pool, stopped)
    there = len(under(url, "blocks/*/part-*.npz"))
    assert stopped.most <= there < right.parts
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "elsewhere"))
    with Few(share=url) as again:
        found = outcome(pool, again)
    assert again.measured == right.parts - there
    assert (found.parts, found.twice, found.scores) == (right.parts, 0, right.scores)
    assert len(under(url, "blocks/*/*")) == right.parts


@needs_ray
def test_a_part_that_came_damaged_is_measured_again(
    samples: list[Sample],
    session: Ray,
    url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fetch = Pool(samples)
    right = measured(Serial(), task(fetch, tmp_path / "serial", TokenStats()))
    with Ray(share=url) as executor:
        assert executor._share is not None
        executor._share = spoils = Spoils(url)
        same(measured(executor, task(fetch, tmp_path / "spoilt", TokenStats())), right)
    assert len(spoils.seen) == len(right) + 1
    assert caplog.text.count("a part came damaged") == 1
    assert len(under(url, "blocks/spoilt/*.damaged")) == 1


class Spoils(Share):
    """Cuts the first part short that comes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.seen: list[str] = []

    def came(self, folder: Path, block: Block) -> str:
        self.seen.append(blocks.part_name(block.ids))
        if len(self.seen) == 1:
            [path] = under(self.remote.url, f"blocks/{folder.name}/{self.seen[0]}")
            path.write_bytes(path.read_bytes()[:-40])
        return super().came(folder, block)


def test_what_is_no_part_stays_where_it_is_and_damaged_ones_are_set_aside(
    samples: list[Sample], url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work, todo = blocks_of(samples, tmp_path / "parts")
    there = Path(url.removeprefix("file://")) / "blocks" / "parts"
    sound, short, pickled, other = todo[:4]
    share = Share(url)
    for block in (sound, short):
        share.put(blocks.write_part(work.folder, block.ids, work.measured(block)))
    for path in work.folder.iterdir():
        path.unlink()
    cut = there / blocks.part_name(short.ids)
    cut.write_bytes(cut.read_bytes()[:-40])
    ids = np.array([object()] * 3)
    with (there / blocks.part_name(pickled.ids)).open("wb") as out:
        np.savez(out, ids=ids)
    (there / blocks.part_name(other.ids)).write_bytes(
        (there / blocks.part_name(sound.ids)).read_bytes()
    )
    (there / "part-0123456789abcdef.npz").mkdir()
    for name in ("evil.npz", "..%2fevil.npz", ".part-0123456789abcdef.npz", "part-xyz.npz"):
        (there / name).write_bytes(b"evil")
    share.bring(work.folder)
    assert names(list(work.folder.iterdir())) == [blocks.part_name(sound.ids)]
    assert len(list(there.glob("*.damaged"))) == 3
    assert caplog.text.count("its samples are measured again") == 3
    assert blocks.missing(work.folder, list(work.fetch.by_id)) == [  # type: ignore[attr-defined]
        i
        for i in work.fetch.by_id
        if i not in sound.ids  # type: ignore[attr-defined]
    ]
    share.bring(work.folder)
    assert caplog.text.count("its samples are measured again") == 3


def blocks_of(samples: Sequence[Sample], folder: Path) -> tuple[Task, list[Block]]:
    fetch = Pool(samples)
    work = task(fetch, folder, TokenStats())
    work.engine.block_tokens = 100
    return work, planned(list(fetch.by_id), work.signal, work.engine, fetch)[0]


def test_a_part_that_is_not_there_after_all_is_one_sentence(
    samples: list[Sample], url: str, tmp_path: Path
) -> None:
    work, todo = blocks_of(samples, tmp_path / "parts")
    with pytest.raises(RunError, match="holds no part that an actor put there") as caught:
        Share(url).came(work.folder, todo[0])
    assert "the same place on every machine" in str(caught.value)


def test_a_part_that_is_damaged_again_and_again_ends_the_run_in_one_sentence(
    samples: list[Sample], tmp_path: Path
) -> None:
    work, todo = blocks_of(samples, tmp_path / "parts")
    waiting = Waiting(work, todo)
    for _ in range(TRIES - 1):
        block, _ = waiting.take()
        waiting.spoiled(block, "cut short", "Look.")
    block, _ = waiting.take()
    with pytest.raises(RunError, match=r"a part came damaged 3 times on the same block.*Look"):
        waiting.spoiled(block, "cut short", "Look.")


class Watched(Remote):
    """Keeps the names of what is got."""

    got: ClassVar[list[str]] = []

    def get(self, target: Path, *steps: str) -> bool:
        self.got.append(steps[-1])
        return super().get(target, *steps)


def test_actors_that_want_the_same_file_at_once_get_it_once(url: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", byte_bpe(CHATML))
    work = replace(task(Pool([]), tmp_path / "parts", TokenStats()), engine=Named(model))
    message = Share(url).work(work, Block((), 0))
    actors = [Share(url) for _ in range(6)]
    for actor in actors:
        actor.remote = Watched(url)
    with ThreadPoolExecutor(len(actors)) as pool:
        told = list(pool.map(lambda actor: actor.here(message), actors))
    assert sorted(Watched.got) == names(under(url, "objects/*"))
    [folder] = {m["checkpoint"]["folder"] for m in told}
    both = [names(list(Path(f).glob("[!.]*"))) for f in (folder, model.folder)]
    assert both[0] == both[1]


class Named:
    """As much of an engine as a message tells of."""

    def __init__(self, checkpoint: Any) -> None:
        self.checkpoint, self.precision = checkpoint, Precision("cpu", "fp32")


def test_what_is_there_is_not_sent_again_and_a_damaged_object_is_not_used(
    url: str, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "model", byte_bpe(CHATML))
    work = replace(task(Pool([]), tmp_path / "parts", TokenStats()), engine=Named(model))
    message = Share(url).work(work, Block((), 0))
    before = {path: path.stat().st_mtime_ns for path in under(url, "objects/*")}
    Share(url).work(work, Block((), 0))
    assert before == {path: path.stat().st_mtime_ns for path in under(url, "objects/*")}
    sha256 = message["shared"]["model"]["model.safetensors"]
    [weights] = under(url, f"objects/{sha256}")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(RunError, match=r"model\.safetensors is damaged.*Run the same"):
        Share(url).here(message)
    Share(url).here(Share(url).work(work, Block((), 0)))  # sent again
    weights.write_bytes(b"cut short")
    assert Share(url).work(work, Block((), 0)) == message
    assert files.digest(weights)["sha256"] == sha256


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..", "a//b", "a\\b", ""])
def test_a_name_in_a_message_leads_nowhere_else(name: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("evil")
    share = Share(url)
    sha256 = share._send(tmp_path / "evil")
    with pytest.raises(RunError, match="cannot be sent"):
        share._fetched(tmp_path / "models" / "folder", {name: sha256})
    assert not list((tmp_path / "models").rglob("evil"))


def refused(share: str, name: Any = "ray") -> str:
    with pytest.raises(RunError) as caught, opened(name, share=share):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_url_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(f"file://{tmp_path}/file/folder")
    assert "file/folder: cannot be written. Got" in said
    assert "Each machine needs the right" in said


def test_a_store_whose_package_is_missing_or_that_nobody_knows_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    said = refused("s3://bucket/folder")
    assert said.startswith("s3://bucket/folder: a package that opens it is missing on ")
    assert "Install s3fs" in said
    assert "Protocol not known: nowhere" in refused("nowhere://bucket/folder")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://ada:sesame@host/folder", "holds a password"),
        ("s3://AKIA:ses/ame@bucket/folder", "holds a password"),
        ("abfs://c@account/folder?sig=sesame", "holds a password"),
        ("memory://folder", "no place that machines share"),
        ("file://folder", "needs a whole path"),
        ("file:///mnt/../etc", "needs a whole path"),
        ("/mnt/folder", "is no URL"),
        ("simplecache::s3://bucket", "is no URL"),
        ("s3://", "is no URL"),
    ],
)
def test_a_url_that_is_not_to_be_used_is_refused_before_it_is_shown(url: str, what: str) -> None:
    said = refused(url)
    assert said.startswith("--ray-share: ")
    assert what in said
    assert "sesame" not in said
    assert "ame@" not in said


def test_the_url_is_for_ray_alone() -> None:
    for name in ("processes", "serial"):
        assert "Add --executor ray" in refused("file:///mnt/folder", name)


def test_a_password_reaches_neither_screen_nor_cache(tmp_path: Path) -> None:
    files.write_json(tmp_path / "pool.json", [{"instruction": "a", "output": "b"}] * 3)
    assert sftlens("import", tmp_path / "pool.json", "--pool", "pool").returncode == 0
    words = ("score", "pool", METHOD, *FAKE, "--executor", "ray")
    done = sftlens(*words, "--ray-share", "ftp://ada:sesame@127.0.0.1/x")
    assert done.returncode == 2
    assert "holds a password" in done.stderr
    assert "sesame" not in done.stdout + done.stderr
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"sesame" in path.read_bytes()]
