"""Whether what a command says adds up. A check takes its words and gives what is wrong."""

import re
from collections.abc import Callable

from benchmarks.suite.step import BROKEN, COPY

Check = Callable[[str], str]  # empty: nothing is wrong


def _numbers(pattern: str, said: str) -> list[int]:
    """The numbers that a line of the answer holds; none where there is no such line."""
    found = re.search(pattern, said)
    return [int(x.replace(",", "")) for x in found.groups()] if found else []


def books(begin: int, n: int, before: int) -> Check:
    """An import of `n` records from number `begin` on into a pool of `before`."""
    copies, broken = (
        sum(row % one == 0 for row in range(begin, begin + n)) for one in (COPY, BROKEN)
    )
    right = [n + copies + broken, n, copies, broken, before + n]

    def check(said: str) -> str:
        many = r"([\d,]+)"
        found = _numbers(
            rf"read {many} = imported {many} \+ duplicates {many} \+ quarantined {many};"
            rf" now {many} samples",
            said,
        )
        return "" if found == right else f"read {found}, not {right}"

    return check


def scored(n: int) -> Check:
    """A run of all n samples."""

    def check(said: str) -> str:
        found = _numbers(r"([\d,]+) of ([\d,]+) samples scored", said)
        return "" if found[1:] == [n] else f"scored {found} of {n}"

    return check


def measured_new(n: int, more: int) -> Check:
    """A run in which n samples are known and `more` are measured."""

    def check(said: str) -> str:
        found = _numbers(r"base: ([\d,]+) of [\d,]+ samples reused, ([\d,]+) to measure", said)
        return scored(n + more)(said) or ("" if found == [n, more] else f"reused, new: {found}")

    return check


def placed(n: int) -> Check:
    """A map of n samples."""

    def check(said: str) -> str:
        found = _numbers(r"map \w+: ([\d,]+) samples", said)
        return "" if found == [n] else f"mapped {found} of {n}"

    return check


def kept(n: int, chosen: int) -> Check:
    """A subset of `chosen`, and a reason for each of n."""

    def check(said: str) -> str:
        lines = re.findall(r"^ *([\d,]+)  (\S.*)$", said, re.MULTILINE)
        counts = {reason: int(size.replace(",", "")) for size, reason in lines}
        right = counts.get("kept") == chosen and sum(counts.values()) == n
        rows = _numbers(r"subset\.\w+: ([\d,]+) rows", said)
        return "" if right and rows == [chosen] else f"{counts}, rows {rows}"

    return check


def same(said: str) -> str:
    """A replay that made the same bytes."""
    return "" if "identical" in said else said[-300:]
