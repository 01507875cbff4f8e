"""Starts the Streamlit app as a process of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from core import config
from core.errors import ConfigError

START_S = 60.0


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


def start(port: int, host: str = "127.0.0.1", script: str = "app.py") -> Server:
    """Start the app on the first free port from `port` on, twenty at most.

    `script` is what runs, from this project's folder.

    Raises:
        ConfigError: none of them is free, or the address is not one of this machine.
    """
    config.check_writable()
    free = _free_port(port, host)
    environment = os.environ | {"SFTLENS_CACHE": str(config.cache_dir())}
    # fmt: off
    command = [
        sys.executable, "-m", "pages.ui.serve", "run", str(config.ROOT / script),
        "--server.port", str(free), "--server.address", host,
    ]
    # fmt: on
    # The working folder is the one with .streamlit/config.toml.
    process = subprocess.Popen(command, cwd=config.ROOT, env=environment, stdout=subprocess.DEVNULL)
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
