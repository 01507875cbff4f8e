"""Starts the Streamlit app as a process of its own."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from core import config
from core.errors import ConfigError


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


def start(port: int, host: str = "127.0.0.1") -> Server:
    """Start the app on the first free port from `port` on, twenty at most.

    Raises:
        ConfigError: none of them is free, or the address is not one of this machine.
    """
    config.check_writable()
    free = _free_port(port, host)
    environment = os.environ | {"SFTLENS_CACHE": str(config.cache_dir())}
    # fmt: off
    command = [
        sys.executable, "-m", "streamlit", "run", str(config.ROOT / "app.py"),
        "--server.port", str(free), "--server.address", host,
    ]
    # fmt: on
    process = subprocess.Popen(
        command, cwd=config.ROOT, env=environment, stdout=subprocess.DEVNULL
    )  # the folder with .streamlit/config.toml
    return Server(f"http://{host}:{free}", process)


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
