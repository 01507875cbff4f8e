"""Rows of the table: what was measured, against which target, and whether it counts."""

from dataclasses import asdict, dataclass
from typing import Any

Target = float | tuple[float, float] | None  # a least (or a greatest), a range, or none
HEAD = f"{'id':16} {'ratio':>10} {'target':>12} {'floor':>6}  {'gate':4}  {'':8} what"


@dataclass(frozen=True)
class Row:
    """One measured ratio.

    `fraction` of the machine's floor, where one is known. `gate`: whether the fast numbers are
    the right ones; a row whose gate failed is not met, whatever its ratio. `valid` is False where
    the machine's ceiling moved more than 10 % while it was measured, each time; `drift` is how
    far. `ours_s`, `theirs_s`: seconds of the two sides.
    """

    id: str
    what: str
    ratio: float
    target: Target
    gate: bool
    at_most: bool = False
    fraction: float | None = None
    note: str = ""
    valid: bool = True
    drift: float = 0.0
    ours_s: float | None = None
    theirs_s: float | None = None
    hardware: str = ""

    @property
    def met(self) -> bool:
        """Whether the ratio reached its target, measured on a steady machine, with true numbers."""
        return self.gate and self.valid and self._reached()

    def _reached(self) -> bool:
        if self.target is None:
            return True
        if isinstance(self.target, tuple):
            return self.target[0] <= self.ratio <= self.target[1]
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` writes it."""
        return asdict(self) | {"met": self.met}

    def line(self) -> str:
        """The row as the table prints it, with a second line for its note."""
        floor = "" if self.fraction is None else f"{self.fraction:.2f}"
        gate = "ok" if self.gate else "FAIL"
        first = (
            f"{self.id:16} {shown(self.ratio):>10} {self._target():>12} {floor:>6}  {gate:4}  "
            f"{self.verdict():8} {self.what}"
        )
        return f"{first}\n{'':17}{self.note}" if self.note else first

    def verdict(self) -> str:
        """One word: met, short, drifted (the machine was not steady) or wrong (the gate failed)."""
        if not self.gate:
            return "wrong"
        if not self.valid:
            return "drifted"
        return "met" if self.met else "short"

    def _target(self) -> str:
        if self.target is None:
            return "-"
        if isinstance(self.target, tuple):
            return f"{shown(self.target[0])} to {shown(self.target[1])}"
        return f"{'<=' if self.at_most else '>='} {shown(self.target)}"


def shown(number: float) -> str:
    """Three digits that matter: 0.412, 5.52, 1,240."""
    if number != number or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3f}" if abs(number) < 2 else f"{number:.2f}"


def table(rows: list[Row]) -> str:
    """The whole table; the hardware stands above it."""
    above = [rows[0].hardware] if rows else []
    return "\n".join([*above, HEAD, *(row.line() for row in rows)])
