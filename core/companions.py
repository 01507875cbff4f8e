"""What an export writes beside the records: trainer files, the dataset card, the report."""

from collections.abc import Collection, Mapping
from typing import Any

from core import store, summary
from core.dataset_card import card
from core.report import Shown, report
from core.selection import Selection
from core.store import pools
from core.trainer_files import FILES, trainer_files
from core.trainer_shapes import Shape

CARD, REPORT = "README.md", "report.html"
NAMES = (*FILES, CARD, REPORT)
USES = FILES | {
    CARD: "the dataset card, with a licence to fill in",
    REPORT: "one page for people without the app; asks nobody for anything",
}


def companions(
    selection: Selection,
    shape: Shape,
    written: Mapping[str, Mapping[str, Any]],
    columns: Collection[str],
    uneven: int,
    seeds: dict[str, Any],
) -> dict[str, str]:
    """The texts by file name. Equal selections give equal texts: no clock, no path.

    Args:
        selection: what is exported.
        shape: of its records.
        written: the data files in order, the subset first: name -> rows, bytes, sha256.
        columns: those that any record of the subset has.
        uneven: conversations of the subset in which turns do not alternate.
        seeds: everything drawn depends on these.
    """
    told = summary.summarise(selection, seeds)
    kept, dropped = (_read(selection, rows.tolist()) for rows in summary.shown(selection))
    texts = trainer_files(shape, next(iter(written)), columns)
    return texts | {CARD: card(told, written, shape, uneven), REPORT: report(told, kept, dropped)}


def _read(selection: Selection, rows: list[int]) -> list[Shown]:
    """The samples of some rows with score and reason."""
    subset = selection.subset
    with store.connect() as con:
        samples = pools.read_samples(con, selection.run.pool, [selection.ids[i] for i in rows])
    return [
        (sample, float(selection.scores.value[i]), subset.names[subset.code[i]])
        for i, sample in zip(rows, samples, strict=True)
    ]
