"""What reviewers say of samples. A row is only ever added; the newest of a reviewer counts."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from core import access
from core.errors import PoolError
from core.store import Connection, journal

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["good", "unsure", "bad"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MOST_CHARS = 10_000  # of a note
TOLD = ("pool", "sample_id", "reviewer", "verdict", "note", "queue", "created_at")


@dataclass(frozen=True)
class Review:
    """One reviewer's word on one sample. `queue` names the audit it was given in, if any."""

    pool: str
    sample_id: str
    reviewer: str
    verdict: Verdict
    note: str = ""
    queue: str = ""


def add(con: Connection, review: Review) -> None:
    """Add a review.

    Raises:
        AccessError: who acts may not judge, or is not the reviewer.
        PoolError: the pool does not hold the sample, or a field cannot be taken.
    """
    access.need_as(review.reviewer, "verdict", f"{review.pool} {review.sample_id}")
    known = con.execute(
        "SELECT count(*) FROM samples WHERE pool = ? AND sample_id = ?",
        [review.pool, review.sample_id],
    ).fetchone()
    if not known or not known[0]:
        raise PoolError(review.pool, "does not hold this sample", got=review.sample_id)
    if review.verdict not in VERDICTS or not review.reviewer.strip():
        do = f"Give a name, and one of: {', '.join(VERDICTS)}."
        raise PoolError("review", "needs a reviewer and a verdict", got=review.verdict, do=do)
    if len(review.note) > MOST_CHARS:
        raise PoolError("review", f"its note has more than {MOST_CHARS:,} characters")
    row = con.execute(
        "INSERT INTO reviews (pool, sample_id, reviewer, verdict, note, queue, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, now()) RETURNING created_at::VARCHAR",
        [
            review.pool,
            review.sample_id,
            review.reviewer.strip(),
            review.verdict,
            review.note,
            review.queue,
        ],
    ).fetchone()
    told = asdict(review) | {"reviewer": review.reviewer.strip()}
    journal.add(con, "review", told | {"created_at": row[0] if row else None})


def rows(con: Connection, skip: int = 0) -> Iterator[dict[str, Any]]:
    """All rows as plain values, oldest first, but the first few."""
    found = con.execute(
        "SELECT pool, sample_id, reviewer, verdict, note, queue, created_at::VARCHAR FROM reviews"
        " ORDER BY number OFFSET ?",
        [skip],
    ).fetchall()
    return (dict(zip(TOLD, row, strict=True)) for row in found)


def restore(con: Connection, row: Mapping[str, Any]) -> None:
    """Put a row back as `rows` gave it."""
    con.execute(
        "INSERT INTO reviews (pool, sample_id, reviewer, verdict, note, queue, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [row[name] for name in TOLD],
    )


def reviews(con: Connection, pool: str) -> "pd.DataFrame":
    """The newest review of each sample by each reviewer, oldest first.

    Columns: sample_id, reviewer, verdict, note, queue, created_at.
    """
    return con.execute(
        "SELECT sample_id, reviewer, verdict, note, queue, created_at FROM reviews WHERE pool = ?"
        " QUALIFY row_number() OVER (PARTITION BY sample_id, reviewer ORDER BY number DESC) = 1"
        " ORDER BY number",
        [pool],
    ).df()
