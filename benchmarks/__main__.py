"""The benchmark suite: the product beside loops that do what the reference does, as ratios.

    python -m benchmarks [NAME...] [--quick] [--json FILE] [--device cpu|cuda] [--random]

NAME is a row of the table, b1 to b11; without one all are measured. A gate that fails (the fast
numbers are not the right ones) fails its row, and the command ends with 1.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from benchmarks.suite import (
    answering,
    gradients,
    machine,
    mapping,
    sampling,
    scaling,
    scoring,
    selecting,
    storing,
)
from benchmarks.suite.bench import Bench
from benchmarks.suite.rows import HEAD, Row
from core import files
from core.errors import SFTLensError

Measurement = Callable[[Bench], Iterator[Row]]
GROUPS = (scoring, answering, sampling, gradients, selecting, mapping, storing, scaling)
log = logging.getLogger(__name__)


def every() -> dict[str, Measurement]:
    """All measurements by name, in the order of the groups."""
    return {name: work for group in GROUPS for name, work in group.GROUP.items()}


def chosen(names: tuple[str, ...], known: Mapping[str, Measurement]) -> list[Measurement]:
    """What these names ask for, each measurement once; all of it for none.

    Raises:
        click.BadParameter: a name is unknown.
    """
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{unknown[0]}: is no benchmark. Use: {', '.join(known)}.")
    return list(dict.fromkeys(known[name] for name in names or known))


def measure(bench: Bench, todo: list[Measurement], out: Path | None = None) -> list[Row]:
    """Measure, print each row as it comes, and keep all of them in a file.

    A measurement that breaks is a row whose gate failed, and the others go on.
    """
    rows: list[Row] = []
    for work in todo:
        for row in _guarded(bench, work):
            rows.append(row)
            click.echo(row.line())
            if out is not None:
                files.write_json(out, [r.as_json() for r in rows])
    return rows


def _guarded(bench: Bench, work: Measurement) -> Iterator[Row]:
    try:
        yield from work(bench)
    except SFTLensError:
        raise  # one sentence for a person, e.g. that there is no model
    except Exception as error:
        log.exception("%s broke", work.__name__)
        told = f"{type(error).__name__}: {error}"
        yield bench.row(work.__name__, "broke off", float("nan"), None, False, note=told)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Few samples and few rounds: a few minutes in all.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the rows as a list.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda")
@click.option("--random", is_flag=True, help="A random model of the embedded one's shape.")
def main(names: tuple[str, ...], quick: bool, out: Path | None, device: str, random: bool) -> None:
    """Print the table; see the module."""
    todo = chosen(names, every())
    machine.one_thread()
    bench = Bench(device, quick, random)
    click.echo(f"{bench.hardware}\n{HEAD}")
    try:
        rows = measure(bench, todo, out)
    except SFTLensError as error:
        raise click.ClickException(str(error)) from None
    met = sum(row.met for row in rows)
    wrong = sum(not row.gate for row in rows)
    click.echo(f"{met} of {len(rows)} rows met, {wrong} with wrong numbers")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
