"""Commands that open something: the demo, the app, a look at the machine."""

from pathlib import Path
from typing import Any

import click

from core.cli.root import cli, echo, executor_options, model_options, note, progress


@cli.command()
@click.option("--app/--no-app", default=True, help="Open the app while the demo is scored.")
@click.option("--samples", type=click.IntRange(2, 160), default=160, help="Use the first N.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--bundle", is_flag=True, help="Freeze the scored demo in cache/demo.")
@executor_options
def demo(
    app: bool,
    samples: int,
    port: int,
    bundle: bool,
    executor: Any,
    workers: int | None,
    ray_address: str | None,
    ray_share: str | None,
) -> None:
    """Score the demo pool with a real model, live, and open the app on it."""
    from core import app_server, executors
    from core import demo as demo_pool

    if bundle and samples != demo_pool.SAMPLES:
        raise click.UsageError(f"--bundle takes all {demo_pool.SAMPLES} samples.")
    server = app_server.start(port) if app and not bundle else None
    if server:
        note(f"app: {server.url} (this machine alone can reach it; Ctrl-C ends it)")
    with executors.opened(executor, workers, ray_address, ray_share) as opened:
        run = demo_pool.run(samples, progress(), opened)
    if bundle:
        _freeze()
        return
    echo(demo_pool.report(run))
    if server:
        note(f"app: {server.url} (this machine alone can reach it; Ctrl-C ends it)")
        server.wait()


def _freeze() -> None:
    """Put the scored demo into `cache/demo`."""
    from core.demo import bundle, manifest

    made = bundle.make()
    size = sum(file.size for file in made.files.values())
    echo(f"{manifest.FOLDER}: {len(made.runs)} runs, {len(made.maps)} maps, {size / 1e6:.1f} MB")
    if made.left_out:
        note(f"left out, too large: measured parts {', '.join(made.left_out)}")


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--demo", is_flag=True, help="Put the scored demo into the store first.")
@click.option("--read-only", is_flag=True, help="Show everything, change and export nothing.")
@click.option(
    "--auth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Let people log in (OIDC), with the roles of this TOML file.",
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Let paths in the app lead there, too (default: the cache and this folder).",
)
def app(
    port: int, host: str, demo: bool, read_only: bool, auth: Path | None, allow: tuple[Path, ...]
) -> None:
    """Open the app on what is in the store."""
    from core import app_server

    told = app_server.settings(read_only=read_only, auth=auth, allow=allow)
    if demo:
        from core.demo import bundle

        new = bundle.load()
        note("the scored demo is in the store" if new else "the demo was scored already")
    server = app_server.start(port, host, told)
    here = app_server.is_loopback(host)
    who = "this machine alone can reach it" if here else "for whoever can reach it"
    note(f"app: {server.url} ({who}; Ctrl-C ends it)")
    if not here and not app_server.is_guarded(told):
        note(f"{host}: whoever can reach it can change everything; add --read-only or --auth FILE")
    server.wait()


@cli.command()
@click.option("--bench", is_flag=True, help="Time this machine, and tell hours for your pools.")
@click.option("--pool", default="", help="Tell the hours of this pool (default: of every pool).")
@model_options
def doctor(bench: bool, pool: str, model: str, device: str, dtype: str) -> None:
    """Check versions, device, speed of the number formats, model and store."""
    from core import doctor as checks

    if bench:
        for line in checks.bench(model, pool, device, dtype, progress()):
            echo(line)
        return
    for line in checks.report():
        echo(line)
