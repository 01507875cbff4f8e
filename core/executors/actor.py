"""What runs on a machine of a Ray cluster. Nothing but bytes goes in and comes out.

The bytes are messages of `core.executors.wire`, as a worker of `Processes` gets them: plain values,
no objects. So a machine needs SFTLens in the same version, and sees the folder of blocks and models
under the same path.
"""

import io
import os
from typing import Any

from core import __version__
from core.executors import wire
from core.executors.lines import Teller
from core.executors.measurer import Measurer


class Actor:
    """Measures one block at a time; `leave` is answered beside it."""

    def __init__(self, cache: str) -> None:
        os.environ.update(SFTLENS_CACHE=cache, TOKENIZERS_PARALLELISM="false")
        self._logged: list[Any] = []
        self._measurer = Measurer(0)  # of the one card that Ray lets it see
        Teller(self._logged.append).listen()

    def hello(self) -> bytes:
        """That it is there, and in which version."""
        return wire.packed({"version": __version__})

    def measure(self, sent: bytes) -> bytes:
        """Measure the block of a message; that it is done or what went wrong, and log lines."""
        told: dict[str, Any] = {"done": True}
        try:
            self._measurer.measure(wire.receive(io.BytesIO(sent)))
        except Exception as error:  # told to the parent, who ends this actor
            told = wire.told(error)
        logged, self._logged[:] = self._logged[:], []
        return wire.packed(told | {"logged": logged})

    def leave(self) -> None:
        """Write the part that is being written to its end, and no other."""
        self._measurer.writing.acquire()
