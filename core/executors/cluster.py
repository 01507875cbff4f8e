"""Joining a Ray cluster, or starting one on this machine that nobody else can reach."""

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from core.errors import RunError

LOCAL = "local"
ANSWER_S = 5.0  # for the port of a cluster to answer
# of a process that waits for its parent's end of a pipe to close, and ends its group
LAST = "import os, signal, sys; sys.stdin.read(); os.killpg(os.getpid(), signal.SIGKILL)"
STORE_BYTES = 256 << 20  # of a local cluster: blocks on their way, a few at a time


def package() -> Any:
    """The package `ray`.

    Raises:
        RunError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        what, do = "the package ray is not installed", 'Install it: pip install "sftlens[ray]".'
        raise RunError("--executor ray", what, do=do) from error
    return ray


@contextmanager
def joined(address: str | None, cpus: int) -> Iterator[Any]:
    """The package `ray`, connected for the body to the cluster at `address` (HOST:PORT).

    None or empty: the one that RAY_ADDRESS names, else a new one on this machine with so many
    `cpus`, which listens on loopback alone, asks for a token that only this process knows, and
    ends with the body, or with this process however it ends. A session that the caller has opened
    is used as it is.

    Raises:
        RunError: ray is not installed, or there is no cluster to join.
    """
    if (known := sys.modules.get("ray")) is not None and known.is_initialized():
        yield known
        return
    address = address or os.environ.get("RAY_ADDRESS", "").strip() or LOCAL
    own: dict[str, Any] = {}
    if address == LOCAL:
        os.environ.update(_closed())
        own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        own |= {"_node_ip_address": "127.0.0.1"}
    ray = package()
    # it tells of lost machines on standard output, which is the command's
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    if address == LOCAL:  # where somebody has imported it before
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    elif address != "auto":
        _check_answers(address)
    with ExitStack() as last:
        if address == LOCAL:
            last.enter_context(_ended_together(ray))
        try:
            with _signals_kept():
                ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            do = "Run this on a machine of the cluster, or without an address on this one alone."
            got = " ".join(str(error).split()) or type(error).__name__
            raise RunError(address, "Ray cannot be joined", got=got, do=do) from error
        last.callback(ray.shutdown)
        yield ray


def _closed() -> dict[str, str]:
    """The environment of a cluster that is this process's own; Ray reads it when imported."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",  # it phones nobody
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # elsewhere, too, it stays on loopback
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else one is left in the home folder
    }


@contextmanager
def _ended_together(ray: Any) -> Iterator[None]:
    """What Ray starts in the body ends with it, or with this process however it ends.

    Of a cluster that is killed Ray's agents are left, which ask it for a minute what has happened.
    So all of it is one group of processes, whose first one ends the group when this one has gone.
    """
    services = ray._private.services
    plain = services.ConsolePopen
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LAST],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as first:
        services.ConsolePopen = partial(plain, process_group=first.pid)
        try:
            yield
        finally:
            services.ConsolePopen = plain


def _check_answers(address: str) -> None:
    """Find out in seconds what Ray would try for a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        do = "Give HOST:PORT, as `ray start --head` prints it."
        raise RunError("--ray-address", "is no address of a cluster", got=address, do=do)
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        do = "Start one there: ray start --head. Without an address one is started here."
        raise RunError(address, "no Ray cluster answers", got=str(error), do=do) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; it stays the command's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
