"""Ray: actors give what one process gives, whoever is lost, and nobody else can reach them.

One cluster of three nodes on this machine serves all tests; its actors are slow, and short of
memory, so that each test measures in smaller steps than the serial run it is compared with.
"""

import re
import signal
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from calls import ended, python, wait_until
from test_executors import SIGNALS, Pool, measured, same, task, told_of_a_damaged_block
from tiny import CHATML, byte_bpe, save_model

from benchmarks.nodes import Disturbed, Nodes, outcome, records
from benchmarks.stopping import SLOW, command, family, left
from core import pools
from core.blocks import planned
from core.domain import Sample
from core.engines.fake import FakeEngine
from core.errors import RunError
from core.executors import Serial, opened, room, wire
from core.executors.ray_actors import Ray
from core.signals import Answers, Gradient, Signal, TokenStats

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason='needs pip install "sftlens[ray]"')

ROOM_TOKENS = "100"  # of an actor's memory; it starts with 512 at once
HALVED = [f"out of memory; going on with {n} tokens at once" for n in (256, 128, 64)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_FAKE_DELAY_S", "0.01")
        patch.setenv("SFTLENS_FAKE_ROOM_TOKENS", ROOM_TOKENS)
        made = Nodes()
    yield made
    made.close()


@pytest.fixture(scope="module")
def session(nodes: Nodes) -> Iterator[Ray]:
    """Three actors, kept from test to test; its Ray session is that of all of them."""
    with Ray(nodes.address) as executor:
        yield executor
    wait_until(lambda: not actors())


@pytest.fixture
def three(session: Ray) -> Ray:
    session.close()  # so that no test sees another's actors
    return session


def actors() -> list[psutil.Process]:
    """Processes of actors that are there."""
    found = []
    for process in left(family(psutil.Process().pid)):
        try:
            found += [process] if "ray::Actor" in " ".join(process.cmdline()) else []
        except psutil.Error:  # it ended meanwhile
            continue
    return found


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda s: type(s).__name__)
def test_serial_and_ray_give_the_same_parts(
    signal: Signal, samples: list[Sample], session: Ray, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Answers, "per_block", 7)
    fetch = Pool(samples)
    right = measured(Serial(), task(fetch, tmp_path / "serial", signal))
    same(measured(session, task(fetch, tmp_path / "ray", signal)), right)


def test_a_real_model_gives_the_same_bits_in_an_actor(
    samples: list[Sample], three: Ray, tmp_path: Path
) -> None:
    checkpoint = save_model(tmp_path / "model", byte_bpe(CHATML))
    fetch = Pool(samples)
    work = task(fetch, tmp_path / "serial", TokenStats(), checkpoint)
    with room.one_thread(work.engine):
        right = measured(Serial(), work)
    with opened("ray", 1) as one:
        same(measured(one, task(fetch, tmp_path / "ray", TokenStats(), checkpoint)), right)
        assert len(actors()) == 1
    assert three._ray.is_initialized()


def test_a_node_lost_half_way_costs_no_block_and_changes_no_score(
    three: Ray,
    nodes: Nodes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(FakeEngine, "block_tokens", 60)
    pool = records(tmp_path / "pool.json", 150)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "serial"))
    right = outcome(pool)
    monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / "ray"))
    disturbed = Disturbed(three, nodes)
    found = outcome(pool, disturbed)
    nodes.add()
    assert disturbed.killed
    assert (found.parts, found.twice) == (right.parts, 0)
    assert disturbed.blocks == right.parts > 20
    assert found.scores == right.scores
    assert "its block is measured again" in caplog.text
    assert capfd.readouterr().out == ""


def test_the_block_of_a_killed_actor_is_measured_by_another_and_what_they_log_is_said_once(
    samples: list[Sample], three: Ray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch = Pool(samples)
    right = measured(Serial(), task(fetch, tmp_path / "serial", TokenStats()))
    work = task(fetch, tmp_path / "ray", TokenStats())
    work.engine.block_tokens = 100
    blocks, _ = planned(list(fetch.by_id), work.signal, work.engine, fetch)
    with opened("ray") as fresh:  # in the session that is open
        going = fresh.map(work, blocks)
        done = [next(going)]
        actors()[0].kill()
        done += list(going)
    assert sorted(b.ids for b in done) == sorted(b.ids for b in blocks)
    assert "its block is measured again, with half as many tokens at once" in caplog.text
    assert [caplog.text.count(line) for line in HALVED] == [1, 1, 1]
    found = {}
    for path in sorted(work.folder.glob("part-*.npz")):
        with np.load(path) as archive:
            found[path.name] = {name: archive[name] for name in archive.files}
    same(found, right)


def test_actors_that_never_start_are_one_sentence(
    samples: list[Sample], three: Ray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = task(Pool(samples), tmp_path / "parts", TokenStats())
    over = threading.Event()

    def reap() -> None:
        while not over.is_set():
            for actor in actors():
                actor.kill()
            time.sleep(0.02)

    reaper = threading.Thread(target=reap)
    reaper.start()
    try:
        with pytest.raises(RunError, match="do not start") as caught:
            measured(three, work)
    finally:
        over.set()
        reaper.join()
    assert "\n" not in str(caught.value)
    assert re.search(r"an actor did not start \((?!<)", caplog.text)


def test_an_error_is_the_sentence_it_is_in_one_process(
    samples: list[Sample], three: Ray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    each = ((Serial(), "serial"), (three, "actors"))
    told = [
        str(told_of_a_damaged_block(samples, executor, tmp_path, name)).replace(name, "")
        for executor, name in each
    ]
    assert told[0] == told[1]
    assert caplog.text.count("its samples are measured again") == 2
    wait_until(lambda: not actors())


def test_a_fault_in_an_actor_brings_its_traceback(
    samples: list[Sample], three: Ray, tmp_path: Path
) -> None:
    work = task(Pool(samples), tmp_path / "parts", Gradient(sketch=None))  # type: ignore[arg-type]
    with pytest.raises(wire.WorkerFault, match="AttributeError: 'NoneType'") as caught:
        measured(three, work)
    assert "core/engines/fake.py" in caught.value.__notes__[0]


@pytest.mark.attack(line="loopback")
def test_a_cluster_of_ones_own_hears_this_machine_alone_and_tells_nobody(
    tmp_path: Path,
) -> None:
    pools.import_files([records(tmp_path / "pool.json", 100)], "pool")
    run = python(*command("ray")[1:], **SLOW)

    def measures() -> bool:
        time.sleep(0.2)  # looking takes its time, too
        return any("ray::Actor.measure" in " ".join(p.cmdline()) for p in left(family(run.pid)))

    try:
        wait_until(measures, run)
        them = left(family(run.pid))
        heard = [
            socket.laddr.ip
            for process in them
            for socket in process.net_connections("inet")
            if socket.status == psutil.CONN_LISTEN
        ]
        # a process that has renamed itself has lost its environment on the way
        said = [env for process in them[1:] if "PATH" in (env := process.environ())]
    finally:
        run.send_signal(signal.SIGINT)
        assert ended(run)[0] == 130
    assert heard
    assert {ip.removeprefix("::ffff:") for ip in heard} <= {"127.0.0.1", "::1"}
    assert {env.get("RAY_USAGE_STATS_ENABLED") for env in said} == {"0"}
