"""Where Ray is: missing, nowhere, or asked for what it cannot give, it is one line."""

import socket
import sys
from pathlib import Path

import pytest

from core.blocks import Task
from core.engines.fake import FakeEngine
from core.engines.hardware import Precision
from core.errors import RunError
from core.executors import opened
from core.executors.ray_actors import _needs
from core.executors.waiting import TRIES, Waiting
from core.signals import TokenStats


def refused(address: str | None) -> str:
    with pytest.raises(RunError) as caught, opened("ray", address=address):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_the_package_the_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    said = "--executor ray: the package ray is not installed."
    assert refused(None) == f'{said} Install it: pip install "sftlens[ray]".'


def test_an_address_where_nobody_answers_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason='needs Ray: pip install "sftlens[ray]"')
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for by_option in (True, False):
        monkeypatch.setenv("RAY_ADDRESS", "" if by_option else address)
        said = refused(address if by_option else None)
        assert said.startswith(f"{address}: no Ray cluster answers.")
    for nonsense in ("here", "127.0.0.1", "127.0.0.1:x", ":6379"):
        assert "is no address of a cluster" in refused(nonsense)


def test_an_address_is_for_ray_alone() -> None:
    with (
        pytest.raises(RunError, match="Add --executor ray"),
        opened("processes", address="127.0.0.1:6379"),
    ):
        pass


def test_a_card_is_not_asked_for_by_its_number(tmp_path: Path) -> None:
    task = Task(TokenStats(), FakeEngine(), lambda ids: [], tmp_path, 64)
    assert _needs(task) == {"num_cpus": 1}
    task.engine.precision = Precision("cuda", "bf16")
    assert _needs(task) == {"num_cpus": 0, "num_gpus": 1}
    task.engine.precision = Precision("cuda:1", "bf16")
    with pytest.raises(RunError, match="Use --device cuda with"):
        _needs(task)


def test_a_block_whose_workers_die_is_given_again_and_then_is_one_sentence(
    samples: list, tmp_path: Path
) -> None:
    from core.blocks import Block

    by_id = {s.sample_id: s for s in samples}
    task = Task(TokenStats(), FakeEngine(), lambda ids: [by_id[i] for i in ids], tmp_path, 64)
    blocks = [Block((i,), 1) for i in by_id][:3]
    waiting = Waiting(task, blocks)
    for _ in range(TRIES - 1):
        taken, _ = waiting.take()
        assert taken == blocks[0]
        waiting.lost(taken, "signal 9")
    taken, _ = waiting.take()
    with pytest.raises(RunError, match=r"died 3 times on the same block. Got 'signal 9'"):
        waiting.lost(taken, "signal 9")
