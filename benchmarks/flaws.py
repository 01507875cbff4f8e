"""Which methods catch which planted flaws of the demo pool? Prints the README's table.

    python -m benchmarks.flaws

Scores the demo pool with every method (what was scored before is taken as it is). A cell is the
mean over the flawed samples of one kind of: the share of unflawed samples of the same source that
the method prefers to the flawed one, in per cent. 100: the flaw always comes last; 50: the method
does not see it; 0: it is what the method chooses first. Equal scores count half, and a flawed
sample without a score counts as last. In brackets: how many of them have no score at all.
"""

import click
import numpy as np
from numpy.typing import NDArray

from core import demo, store
from core.domain import FloatN
from core.methods import catalogue
from core.progress import Progress
from core.store import pools, views
from core.store import runs as stored

KINDS = ("truncated", "boilerplate", "wrong answer", "gibberish", "off topic", "near-duplicate")


@click.command(help=__doc__)
def main() -> None:
    """Score and print."""
    demo.run(progress=Progress())
    source, flaw = _planted()
    click.echo("| method | " + " | ".join(KINDS) + " |")
    click.echo("|---|" + "---|" * len(KINDS))
    for name, cls in catalogue().items():
        if not cls.measures:
            continue
        with store.connect() as con:
            run = stored.newest_run(con, "demo", name)
            value = stored.run_columns(con, run.run_id)["value"]
        cells = [_cell(value, source, flaw, kind) for kind in KINDS]
        click.echo(f"| `{name}` | " + " | ".join(cells) + " |")


def _planted() -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """The source and the flaw of each sample of the demo pool, in pool order."""
    with store.connect() as con:
        pool = pools.get_pool(con, "demo")
        source = views.pool_rows(con, "demo")["source"].to_numpy(str)
        samples = pools.read_samples(con, "demo", pool.sample_ids)
    return source, np.array([str(s.meta.get("flaw") or "") for s in samples])


def _cell(value: FloatN, source: NDArray[np.str_], flaw: NDArray[np.str_], kind: str) -> str:
    shares, unscored = [], 0
    for row in np.flatnonzero(flaw == kind):
        others = value[(source == source[row]) & (flaw == "")]
        others = others[~np.isnan(others)]
        unscored += bool(np.isnan(value[row]))
        if not len(others):
            continue
        mine = -np.inf if np.isnan(value[row]) else value[row]
        shares.append(float(np.mean((others > mine) + 0.5 * (others == mine))))
    if not shares:
        return "–"
    aside = f" ({unscored})" if unscored else ""
    return f"{100 * np.mean(shares):.0f}{aside}"


if __name__ == "__main__":
    main()
