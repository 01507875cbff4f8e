"""What runs on a machine of a Ray cluster. Nothing but bytes goes in and comes out.

The bytes are messages of `core.executors.wire`, as a worker of `Processes` gets them: plain values,
no objects. So a machine needs SFTLens in the same version, and either sees the folder of blocks and
models under the same path, or has a cache of its own and sends and gets files by way of a URL (see
`core.executors.sharing`).
"""

import io
import os
from typing import Any

from core import __version__
from core.executors import wire
from core.executors.lines import Teller
from core.executors.measurer import Measurer
from core.executors.sharing import Share


class Actor:
    """Measures one block at a time; `leave` is answered beside it."""

    def __init__(self, cache: str, share: str) -> None:
        os.environ.update(TOKENIZERS_PARALLELISM="false")
        self._logged: list[Any] = []
        self._share = Share(share) if share else None
        # of the one card that Ray lets it see
        if self._share is None:
            os.environ.update(SFTLENS_CACHE=cache)
            self._measurer = Measurer(0)
        else:
            self._measurer = Measurer(0, self._share.put)
        Teller(self._logged.append).listen()

    def hello(self) -> bytes:
        """That it is there, and in which version."""
        return wire.packed({"version": __version__})

    def measure(self, sent: bytes) -> bytes:
        """Measure the block of a message; that it is done or what went wrong, and log lines."""
        told: dict[str, Any] = {"done": True}
        try:
            message = wire.receive(io.BytesIO(sent))
            if self._share is not None:
                message = self._share.here(message)
            self._measurer.measure(message)
        except Exception as error:  # told to the parent, who ends this actor
            told = wire.told(error)
        logged, self._logged[:] = self._logged[:], []
        return wire.packed(told | {"logged": logged})

    def leave(self) -> None:
        """Write the part that is being written to its end, and no other."""
        self._measurer.writing.acquire()
