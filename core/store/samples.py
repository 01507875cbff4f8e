"""Reading samples back: by their ids, or by their places, which costs the same in any pool."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN, Sample, Turn
from core.store import Connection

AMONG = " WHERE pool = ? AND position BETWEEN ? AND ?"
THESE = " AND position IN (SELECT unnest(?::INTEGER[]))"


def read_samples(con: Connection, pool: str, ids: Iterable[str]) -> list[Sample]:
    """The samples with these ids, in the order of the ids."""
    wanted = list(ids)
    found = con.execute(
        "SELECT sample_id, position FROM samples"
        " WHERE pool = ? AND sample_id IN (SELECT unnest(?::VARCHAR[]))",
        [pool, wanted],
    ).fetchall()
    place = dict(found)
    return read_at(con, pool, [place[sample_id] for sample_id in wanted])


def read_at(con: Connection, pool: str, positions: Iterable[int]) -> list[Sample]:
    """The samples at these positions of a pool, in their order.

    Reads the texts between the first and the last of them and no others: so a range costs what is
    in it, and samples from all over a pool cost the whole of it, however few they are.
    """
    wanted = [int(position) for position in positions]
    if not wanted:
        return []
    bound: list[Any] = [pool, min(wanted), max(wanted)]
    scope = AMONG
    if max(wanted) - min(wanted) + 1 > len(wanted):
        scope, bound = AMONG + THESE, [*bound, wanted]
    narrow = con.execute(f"SELECT position, source, meta FROM samples{scope}", bound)  # noqa: S608
    about = {row[0]: row[1:] for row in narrow.fetchall()}
    texts = con.execute(
        f"SELECT position, turns, input, record FROM texts{scope}",  # noqa: S608  (constants)
        bound,
    )
    found = {row[0]: _sample(row, about[row[0]]) for row in texts.fetchall()}
    return [found[position] for position in wanted]


def n_chars(con: Connection, pool: str, n: int) -> IntN:
    """Characters of the turns of the first n samples, (n,) in pool order."""
    out = np.zeros(n, np.int64)
    asked = "SELECT position, n_chars FROM samples WHERE pool = ? AND position < ?"
    found = con.execute(asked, [pool, n]).fetchnumpy()
    out[np.asarray(found["position"], np.int64)] = found["n_chars"]
    return out


def response_chars(con: Connection, pool: str) -> NDArray[np.int64]:
    """Characters of every assistant turn of each sample, (n,) in pool order."""
    query = (
        "SELECT coalesce(list_sum([length(json_extract_string(turn, '$[1]'))"
        " FOR turn IN turns::JSON[] IF json_extract_string(turn, '$[0]') = 'assistant']), 0) AS n"
        " FROM texts WHERE pool = ? ORDER BY position"
    )
    return np.asarray(con.execute(query, [pool]).fetchnumpy()["n"], np.int64)


def _sample(text: tuple[Any, ...], about: tuple[Any, ...]) -> Sample:
    """A row of `texts` and its of `samples` as the sample they were made from."""
    _, turns, given, record = text
    source, meta = about
    parsed: list[Any] = json.loads(turns)
    spoken = tuple(Turn(role, content) for role, content in parsed)
    return Sample(spoken, source, given, json.loads(meta), record)
