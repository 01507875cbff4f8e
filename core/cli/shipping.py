"""Commands that send an export away, and tell what was written."""

import sys
from pathlib import Path

import click

from core.cli.root import cli, echo, note, short


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repo")
@click.option("--public", is_flag=True, help="Let everybody see a dataset that is made anew.")
@click.option("--yes", is_flag=True, help="Do not ask before sending.")
def push(folder: Path, repo: str, public: bool, yes: bool) -> None:
    """Send an export in FOLDER to the Hugging Face hub as dataset REPO, private by default."""
    from core import hub

    names = hub.whole_export(folder)
    size = sum((folder / name).stat().st_size for name in names)
    note(f"{', '.join(names)}: {size:,} bytes")
    who = "public, for everybody to see" if public else "private"
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody is here to confirm. Give --yes to send.")
        question = f"Send them to the dataset {repo!r} ({who} if it is new)?"
        if not click.confirm(question, err=True, default=False):
            note("nothing was sent")
            return
    echo(hub.push(folder, repo, private=not public))


@cli.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Newest N.")
@click.option("--who", default="", help="Only what this person did.")
@click.option("--act", default="", help="Only writes of this kind, e.g. verdict or export.")
def log(limit: int, who: str, act: str) -> None:
    """List who wrote what and when: imports, scores, verdicts, recipes, exports; refusals too."""
    from core import writes

    for line in writes.newest(limit, who, act):
        by, on, detail = (short(text, width=200) for text in (line.who, line.on, line.detail))
        told = f"{line.at}  {by:24} {line.outcome:8} {line.act:8} {on}"
        echo(f"{told}  ({detail})" if detail else told)
