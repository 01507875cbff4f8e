"""Ray Core actors, which measure blocks on the machines of a cluster.

An actor has one block at a time and writes its part itself, into the folder of blocks that all
machines share, or by way of a URL (see `core.executors.sharing`); parts are named by their ids and
renamed into place, so a block that is measured twice is there once. An actor that is lost, alone or
with its machine, is replaced where the cluster has room, and its block is given again.
"""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from core import __version__, config
from core.blocks import Block, Task
from core.errors import RunError
from core.executors import room, wire
from core.executors.actor import Actor
from core.executors.cluster import joined
from core.executors.hand import Hand, how, maybe_short
from core.executors.lines import Repeater
from core.executors.sharing import Share
from core.executors.waiting import TRIES, Waiting

log = logging.getLogger(__name__)

LOOK_S = 0.2  # between two looks at Ctrl-C
END_S = 0.5  # for parts that are being written
PATIENT_S = 10.0  # before a person is told that the cluster is full


class Ray:
    """Measures blocks in `workers` actors of one thread, or of one GPU, each.

    None: as many as the cluster has cores or GPUs; those that find no room wait for it. `address`
    as in `cluster.joined`. `share`: the URL by which machines without a common cache get files to
    each other. Used as a context: its end is theirs.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, share: str | None = None
    ) -> None:
        self.address, self.workers = address, workers
        self._share = Share(share) if share else None
        self._there: list[Hand] = []
        self._needs: dict[str, Any] = {}
        self._stillborn = 0  # actors that never said a word, since one did
        self._repeat = Repeater()
        self._open = ExitStack()

    def __enter__(self) -> "Ray":
        if self._share is not None:
            self._share.remote.check()
        cpus = max(room.cores(), self.workers or 1)
        self._ray = self._open.enter_context(joined(self.address, cpus))
        self._actor = self._ray.remote(Actor)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._open.close()

    def bring(self, folder: Path) -> None:
        """See `executors.bring`."""
        if self._share is not None:
            self._share.bring(folder)

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`.

        Raises:
            RunError: a block ended the actor that measured it again and again, or none starts.
            WorkerFault: a programming error in an actor.
            SFTLensError, OSError: as the task raised it.
        """
        self._make_fit(_needs(task))
        work = wire.work if self._share is None else self._share.work
        waiting = Waiting(task, blocks, work)
        wanted = min(len(blocks), self._most())
        full = time.monotonic() + PATIENT_S
        try:
            self._greet()
            while waiting or any(hand.block for hand in self._there):
                self._give(waiting, wanted)
                for hand in self._answered():
                    full = float("inf")
                    if (block := self._heard(hand, waiting, task)) is not None:
                        yield block
                if time.monotonic() > full:
                    full = float("inf")
                    asked = ", ".join(f"{k} {v:,}" for k, v in self._needs.items())
                    log.warning("no actor has started yet; is there room? (asked: %s)", asked)
        except BaseException:  # Ctrl-C too, and a caller who wants no more
            self.close()
            raise

    def _make_fit(self, needs: dict[str, Any]) -> None:
        """End actors of a stage that needed another device, or less memory."""
        memory = needs.get("memory", 0) <= self._needs.get("memory", 0)
        if not memory or needs.keys() != self._needs.keys():
            self.close()
            self._needs = needs

    def _most(self) -> int:
        """Actors that the cluster can hold, one at least: its machines may be on their way."""
        kind = "GPU" if "num_gpus" in self._needs else "CPU"
        fit = max(1, int(self._ray.cluster_resources().get(kind, 0)))
        return fit if self.workers is None else min(self.workers, fit)

    def _greet(self) -> None:
        """Greet all who are idle: one that has died meanwhile is found without a block."""
        for hand in self._there:
            if hand.asked is None:
                hand.greet()

    def _give(self, waiting: Waiting, wanted: int) -> None:
        """A block to each actor that has none, actors to blocks that have none."""
        while waiting:
            idle = next((hand for hand in self._there if hand.asked is None), None)
            if idle is not None:
                idle.give(*waiting.take())
            elif len(self._there) < wanted:
                self._start()
            else:
                break
        waiting.prepare()

    def _start(self) -> None:
        # two calls at once: `leave` beside `measure`
        options = {"max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        share = self._share.remote.url if self._share is not None else ""
        made = self._actor.options(**self._needs, **options)
        actor = made.remote(str(config.cache_dir()), share)
        self._there.append(Hand(actor))
        self._there[-1].greet()

    def _answered(self) -> Iterator[Hand]:
        """Those who have answered, after a moment at most."""
        asked = {hand.asked: hand for hand in self._there if hand.asked is not None}
        done, _ = self._ray.wait(list(asked), timeout=LOOK_S)
        return (asked[answer] for answer in done)

    def _heard(self, hand: Hand, waiting: Waiting, task: Task) -> Block | None:
        """The block that is done, if that is what it says."""
        try:
            told = wire.receive(io.BytesIO(self._ray.get(hand.asked)))
        except self._ray.exceptions.RayError as error:
            self._bury(hand, waiting, error)
            return None
        hand.asked = None
        for line in told.get("logged", ()):
            self._repeat(*line)
        if "version" in told:
            self._stillborn, hand.known = 0, True
            _check_version(told["version"])
            return None
        if "done" not in told:
            raise wire.raised(told)
        block, hand.block = hand.block, None
        if block is None or self._share is None:
            return block
        if damage := self._share.came(task.folder, block):
            do = f"See who else writes under {self._share.remote.url}."
            waiting.spoiled(block, damage, do)
            return None
        return block

    def _bury(self, hand: Hand, waiting: Waiting, error: Exception) -> None:
        """An actor has gone, maybe with its machine; its block is the next to be given."""
        self._there.remove(hand)
        self._kill(hand)  # it may be cut off only
        self._greet()
        if hand.block is not None:
            waiting.lost(hand.block, how(error), maybe_short(error))
            return
        if not hand.known:
            self._stillborn += 1
            self._repeat(log.name, logging.WARNING, f"an actor did not start ({how(error)})")
        if self._stillborn >= TRIES and not any(other.known for other in self._there):
            do = f"Each machine of the cluster needs SFTLens {__version__} and a few GB of memory."
            raise RunError("--executor ray", "its actors do not start", got=how(error), do=do)

    def close(self) -> None:
        """End all actors; what they were measuring is lost, and nothing else."""
        leaving = [hand.actor.leave.remote() for hand in self._there if hand.block]
        if leaving:
            self._ray.wait(leaving, num_returns=len(leaving), timeout=END_S)
        while self._there:
            self._kill(self._there.pop())

    def _kill(self, hand: Hand) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(hand.actor)


def _needs(task: Task) -> dict[str, Any]:
    """What an actor takes of a machine.

    Raises:
        RunError: a card is asked for by its number.
    """
    device = task.engine.precision.device
    if ":" in device:
        do = "Use --device cuda with --executor ray; each actor has a card of its own."
        raise RunError(device, "a card's number means nothing on another machine", do=do)
    own = {"num_cpus": 1} if device == "cpu" else {"num_cpus": 0, "num_gpus": 1}
    # the fake engine has no weights, and is no matter
    memory = {"memory": room.worker_bytes(task)} if task.engine.checkpoint.folder else {}
    return own | memory


def _check_version(theirs: str) -> None:
    if theirs != __version__:
        do = f"Install SFTLens {__version__} on every machine."
        raise RunError("--executor ray", "a machine has another SFTLens", got=theirs, do=do)
