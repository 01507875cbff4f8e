"""The command that makes a damaged store anew."""

import click

from core.cli.root import cli, echo, note, progress


@cli.command()
@click.option("--anyway", is_flag=True, help="Make it anew even if all of it can be read.")
def rebuild(anyway: bool) -> None:
    """Make a damaged store anew from what stands beside it; the old file is set aside."""
    from core import config
    from core import rebuild as again

    account = again.rebuild(progress(), anyway)
    if account.aside is None and not account.there:
        echo(f"{config.store_path()}: all of it can be read; nothing was done")
        return
    for line in account.sentences():
        echo(line)
    if account.aside is not None:
        note(f"the old file is kept: {account.aside}")
