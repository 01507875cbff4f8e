"""How a ratio is measured: interleaved, between two looks at the machine's ceiling.

Ours and theirs take turns, so that whatever else the machine does falls on both. The ceiling
(GFLOP/s of one product) is measured before and after: where it moved more than 10 %, the race is
thrown out and run again, twice at most. On a CPU seconds are those of the process, on one thread.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.suite import corpus, machine
from benchmarks.suite.rows import Row, Target
from core.domain import Sample
from core.engines.hardware import Precision, fast_bf16
from core.engines.hf import HFEngine
from core.models import Checkpoint, resolve
from core.progress import Progress

DRIFT = 0.10
AGAIN = 2  # times that a race is run again


@dataclass(frozen=True)
class Race:
    """Theirs over ours, for one unit of work each; seconds are medians of the rounds.

    `ceiling` in GFLOP/s, the mean of before and after; `drift` how far it moved, as a share.
    """

    ratio: float
    ours_s: float
    theirs_s: float
    ceiling: float
    drift: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether the machine was steady meanwhile."""
        return self.drift <= DRIFT


@dataclass
class Bench:
    """What a measurement is given: the machine, the model, the corpus, and how to race.

    `clock` and `gemm` are for tests; both are the machine's own by default.
    """

    device: str = "cpu"
    quick: bool = False
    random: bool = False
    clock: machine.Clock | None = None
    gemm: Callable[[str], float] | None = None
    _engines: dict[str, HFEngine] = field(default_factory=dict)
    _races: list[Race] = field(default_factory=list)  # since the last row

    @cached_property
    def hardware(self) -> str:
        """One line for the table and for every row."""
        return machine.hardware(self.device)

    @cached_property
    def amx(self) -> bool:
        """Whether bf16 products are many times as fast as those in fp32: AMX, or a card."""
        return self.device.startswith("cuda") or "amx_bf16" in machine.flags()

    def precisions(self) -> list[Precision]:
        """The number formats that are fast here; the one whose row counts comes first."""
        formats = ["fp32", "bf16"] if fast_bf16(self.device) else ["fp32"]
        formats.sort(key=lambda dtype: dtype != self.counts)
        return [Precision(self.device, dtype) for dtype in formats]

    @property
    def counts(self) -> str:
        """The number format whose row has the plain id."""
        return "bf16" if self.amx else "fp32"

    def name(self, row_id: str, dtype: str) -> str:
        """`b1` in the format that counts, else `b1.bf16` or `b1.fp32`."""
        return row_id if dtype == self.counts else f"{row_id}.{dtype}"

    def size(self, quick: int, full: int) -> int:
        """How many: the first with `--quick`."""
        return quick if self.quick else full

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The embedded model, or with `--random` a random one of its shape."""
        if self.random:
            return corpus.random_checkpoint()
        return resolve("embedded", Progress())

    def engine(self, dtype: str) -> HFEngine:
        """The model in a number format, loaded once; a plain "fp32" or "bf16"."""
        if dtype not in self._engines:
            self._engines[dtype] = HFEngine(self.checkpoint, Precision(self.device, dtype))
        return self._engines[dtype]

    def samples(self, n: int, seed: int = 0) -> list[Sample]:
        """n samples of a fixed seed with lognormal lengths, see `corpus`."""
        return corpus.corpus(n, seed)

    def ceiling(self, dtype: str = "fp32") -> float:
        """GFLOP/s of a 2048 x 576 x 1536 product, measured now."""
        if self.gemm is not None:
            return self.gemm(dtype)
        return machine.gemm(Precision(self.device, dtype), machine.clock_of(self.device))

    def seconds(self, work: Callable[[], object], *, wall: bool = False) -> float:
        """How long one call takes."""
        clock = self.clock or (time.perf_counter if wall else machine.clock_of(self.device))
        began = clock()
        work()
        return max(clock() - began, 1e-9)

    def race(
        self,
        ours: Callable[[], object],
        theirs: Callable[[], object],
        rounds: int = 3,
        *,
        dtype: str = "fp32",
        units: tuple[float, float] = (1, 1),
        warm: bool = True,
        wall: bool = False,
    ) -> Race:
        """Time both in turns; see the module.

        `units`: the work that a call of ours and one of theirs does, where theirs does less of it
        (10,000 rows against 100). `warm` calls both once before. `wall` counts seconds that pass,
        for work that waits for a disk or is done by other processes. `dtype` is the ceiling's.
        """
        if warm:
            theirs(), ours()
        race = self._once(ours, theirs, rounds, dtype, units, wall)
        for _ in range(AGAIN):
            if race.valid:
                break
            race = self._once(ours, theirs, rounds, dtype, units, wall)
        self._races.append(race)
        return race

    def _once(
        self,
        ours: Callable[[], object],
        theirs: Callable[[], object],
        rounds: int,
        dtype: str,
        units: tuple[float, float],
        wall: bool,
    ) -> Race:
        before = self.ceiling(dtype)
        pairs = [
            (self.seconds(theirs, wall=wall), self.seconds(ours, wall=wall)) for _ in range(rounds)
        ]
        after = self.ceiling(dtype)
        theirs_s, ours_s = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = (theirs_s / units[1]) / (ours_s / units[0])
        drift = abs(after - before) / max(before, after)
        return Race(ratio, ours_s, theirs_s, (before + after) / 2, drift)

    def row(
        self,
        row_id: str,
        what: str,
        ratio: float,
        target: Target,
        gate: bool,
        *,
        fraction: float | None = None,
        note: str = "",
        at_most: bool = False,
    ) -> Row:
        """A row of the table; races since the row before say whether it is valid."""
        races, self._races = self._races, []
        worst = max((race.drift for race in races), default=0.0)
        last = races[-1] if races else None
        seconds = (None, None) if last is None else (last.ours_s, last.theirs_s)
        return Row(
            row_id, what, float(ratio), target, bool(gate), at_most, fraction, note,
            worst <= DRIFT, worst, *seconds, self.hardware,
        )  # fmt: skip
