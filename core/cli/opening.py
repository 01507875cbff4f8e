"""Commands that open something: the demo, the app, a look at the machine."""

import click

from core.cli.root import cli, echo, note, progress


@cli.command()
@click.option("--app/--no-app", default=True, help="Open the app while the demo is scored.")
@click.option("--samples", type=click.IntRange(2, 160), default=160, help="Use the first N.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
def demo(app: bool, samples: int, port: int) -> None:
    """Score the demo pool with a real model, live, and open the app on it."""
    from core import app_server
    from core import demo as demo_pool

    server = app_server.start(port) if app else None
    if server:
        note(f"app: {server.url} (Ctrl-C ends it)")
    run = demo_pool.run(samples, progress())
    echo(demo_pool.report(run))
    if server:
        note(f"app: {server.url} (Ctrl-C ends it)")
        server.wait()


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def app(port: int, host: str) -> None:
    """Open the app on what is in the store."""
    from core import app_server

    server = app_server.start(port, host)
    note(f"app: {server.url} (Ctrl-C ends it)")
    if host not in ("127.0.0.1", "localhost", "::1"):
        note("anyone who can reach this address can use the app")
    server.wait()


@cli.command()
def doctor() -> None:
    """Check versions, device, speed of the number formats, model and store."""
    from core import doctor as checks

    for line in checks.report():
        echo(line)
