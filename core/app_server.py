"""Starts the Streamlit app as a process of its own."""

import contextlib
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core import access, config, places, roles, store
from core.errors import ConfigError, SFTLensError
from core.store.look import look

START_S = 60.0
ROLES_FILE = "SFTLENS_AUTH"


@dataclass
class Server:
    """A running app."""

    url: str
    process: "subprocess.Popen[bytes]"

    def wait(self) -> None:
        """Wait until the app ends, or end it on Ctrl-C."""
        try:
            self.process.wait()
        except KeyboardInterrupt:
            self.process.terminate()
            self.process.wait()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host's address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def is_guarded(told: Mapping[str, str]) -> bool:
    """Whether not everybody who reaches the app can write, by these settings or the environment."""
    now = os.environ | told
    return any(now.get(name, "") not in ("", "0") for name in (access.READ_ONLY, ROLES_FILE))


def settings(
    *, read_only: bool = False, auth: Path | None = None, allow: Sequence[Path] = ()
) -> dict[str, str]:
    """What the app's process must be told, checked before it starts: its environment.

    Raises:
        ConfigError: the roles cannot be read, the login's package is not installed, or an
            allowed folder is not there.
    """
    for folder in allow:
        if not folder.is_dir():
            raise ConfigError("--allow", "is not a folder", got=str(folder))
    named = [Path(text) for text in os.environ.get(places.ALLOWED, "").split(os.pathsep) if text]
    told = {places.ALLOWED: os.pathsep.join(str(p.resolve()) for p in (Path.cwd(), *named, *allow))}
    if read_only:
        told[access.READ_ONLY] = "1"
    if auth is not None:
        roles.read(auth)
        _check_login()
        told[ROLES_FILE] = str(auth.resolve())
    return told


def _check_login() -> None:
    """Raises: ConfigError: the package that Streamlit logs people in with is missing."""
    from importlib.util import find_spec

    if find_spec("authlib") is None:
        do = 'Install it: pip install "sftlens[auth]".'
        raise ConfigError("--auth", "the package authlib is not installed", do=do)


def start(
    port: int,
    host: str = "127.0.0.1",
    told: Mapping[str, str] | None = None,
    script: str = "app.py",
) -> Server:
    """Start the app on the first free port from `port` on, twenty at most.

    `told`: see `settings`. `script` is what runs, from this project's folder.

    Raises:
        ConfigError: none of them is free, or the address is not one of this machine.
    """
    config.check_writable()
    if look(config.store_path()).state == "older":
        with contextlib.suppress(SFTLensError), store.connect():
            pass  # brought up to date here: an app that only reads may not
    free = _free_port(port, host)
    environment = os.environ | (settings() if told is None else told)
    # fmt: off
    command = [
        sys.executable, "-m", "pages.ui.serve", str(config.ROOT / script), str(free), host,
    ]
    # fmt: on
    # The working folder is the one with .streamlit/config.toml.
    process = subprocess.Popen(
        command,
        cwd=config.ROOT,
        env=environment | {"SFTLENS_CACHE": str(config.cache_dir())},
        stdout=subprocess.DEVNULL,
    )
    _wait_until_open(process, free, host)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return Server(f"http://[{shown}]:{free}" if ":" in shown else f"http://{shown}:{free}", process)


def _wait_until_open(process: "subprocess.Popen[bytes]", port: int, host: str) -> None:
    """Return when the app takes connections, so that the address that is printed works."""
    deadline = time.monotonic() + START_S
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1.0):
            return
        time.sleep(0.1)
    process.terminate()
    do = "See what it said above, and check the installation with: sftlens doctor."
    raise ConfigError("app", f"did not start within {START_S:.0f} s", do=do)


def _free_port(port: int, host: str) -> int:
    for candidate in range(port, min(port + 20, 65536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError as error:
                if not isinstance(error, socket.gaierror) and error.errno in (98, 48, 13):
                    continue
                do = "Use 127.0.0.1, or 0.0.0.0 for every address of this machine."
                raise ConfigError("--host", "cannot be listened on", got=host, do=do) from error
            return candidate
    raise ConfigError("--port", "no free port from here on", got=port, do="Give another --port.")
