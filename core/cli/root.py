"""The command `sftlens` itself, and what its subcommands share."""

import logging
from collections.abc import Callable
from typing import Any

import click

from core import __version__


def echo(text: str) -> None:
    """What the command was asked for: to standard output."""
    click.echo(text)


def note(text: str, level: int = logging.INFO) -> None:
    """What a person may want to know on the way: to standard error, as JSON where that is asked."""
    from core import logs

    if logs.as_json():
        logging.getLogger("sftlens").log(level, text)
    else:
        click.echo(text, err=True)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="sftlens")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How log lines are written: for people, or one JSON object a line (SFTLENS_LOG).",
)
@click.pass_context
def cli(context: click.Context, log_format: str | None) -> None:
    """Choose which instruction data to fine-tune on, and see why."""
    if log_format is not None:
        from core import logs

        logs.choose(log_format)
    if context.invoked_subcommand is None:
        echo(context.get_help())


def progress() -> Any:
    """Progress for a person at a terminal."""
    from core import logs
    from core.progress import Progress

    return Progress(quiet=logs.as_json())


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where blocks are measured; no score depends on them."""
    workers = click.option(
        "--workers",
        type=click.IntRange(1),
        help="Processes of one thread, or one a GPU (default: as many as there is room for).",
    )
    executor = click.option(
        "--executor",
        type=click.Choice(["processes", "ray", "serial"]),
        default="processes",
        show_default=True,
        help="Measure in processes side by side, on the machines of a Ray cluster, or one block"
        " after another in this process.",
    )
    address = click.option(
        "--ray-address",
        metavar="HOST:PORT",
        help="The Ray cluster (default: RAY_ADDRESS, or one on this machine for this command).",
    )
    share = click.option(
        "--ray-share",
        metavar="URL",
        help="Machines of the cluster that do not see this cache get their files by way of this URL"
        " (file://, s3://, gs://, ...: any that fsspec opens).",
    )
    return executor(workers(address(share(command))))


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """`("a=1", "b=2")` as a mapping."""
    for text in texts:
        if not text.partition("=")[1] or not text.partition("=")[0].strip():
            raise click.UsageError(f"{option} takes NAME=VALUE. Got {text!r}.")
    return {t.partition("=")[0].strip(): t.partition("=")[2].strip() for t in texts}


def short(text: str, width: int = 92) -> str:
    """One printable line of a text."""
    line = "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def answers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a server which draws answers."""
    where = click.option(
        "--answers-endpoint",
        metavar="URL",
        help="Let an OpenAI-compatible server draw the answers; a key for it goes into"
        " SFTLENS_ANSWERS_KEY.",
    )
    which = click.option(
        "--answers-model",
        default="",
        metavar="NAME",
        help="The model to ask it for (default: the only one it has).",
    )
    at_once = click.option(
        "--answers-concurrency",
        type=int,
        default=8,
        show_default=True,
        help="Requests it is sent at once.",
    )
    return where(which(at_once(command)))


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which model runs where."""
    where = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N].")
    form = click.option("--dtype", default="auto", show_default=True, help="auto, fp32 or bf16.")
    which = click.option(
        "--model",
        default="embedded",
        show_default=True,
        help="embedded, a hub id (org/name@revision), a folder, or a .gguf file.",
    )
    return which(where(form(command)))
