"""The command line: parse, call, print. The app and the demo do the same through the same calls.

Exit codes: 0 done, 2 a mistake of the user (one line: where, what, got, do), 1 a fault of
SFTLens (one line with the log file's name), 130 stopped by Ctrl-C.
"""

import errno
import logging
import signal
import sys
import time
import traceback
from pathlib import Path

import click

from core import __version__, logs
from core.cli import (  # noqa: F401  (they join the group)
    choosing,
    ending,
    mending,
    opening,
    reading,
    scoring,
    shipping,
)
from core.cli.root import cli as cli
from core.cli.root import note
from core.errors import SFTLensError

STOPPED = "stopped; what was measured is kept, and the same command goes on from there"


def main() -> None:
    """Run a command; turn every error into one line and an exit code."""
    logs.set_up()
    # `kill`, `docker stop` and the app's Stop button end a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ending.in_time(lambda: note(STOPPED)):
            code = cli.main(standalone_mode=False, prog_name="sftlens")
    except SystemExit:
        sys.exit(0)  # click's answer when the reader has gone: sftlens pools | head -1
    except SFTLensError as error:
        _end(str(error), 2)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        do = f" See: {where} --help." if where else ""
        _end(" ".join(error.format_message().split()) + do, 2)
    except (KeyboardInterrupt, click.Abort):
        _end(STOPPED, ending.CODE)
    except Exception as error:
        _fault(error)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fault(error: Exception) -> None:
    """A full or read-only disk is the user's to mend; anything else is ours, and logged."""
    from core import config

    full = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EPERM)
    if isinstance(error, OSError) and error.errno in full:
        _end(str(config.unwritable(error)), 2)
    text = "".join(traceback.format_exception(error))
    try:
        log = config.folder("logs") / f"fault-{time.strftime('%Y%m%d-%H%M%S')}.txt"
        words = logs.without_secrets(f"sftlens {__version__}\n{sys.argv[1:]}\n{text}")
        log.write_text(words, "utf8")
    except (OSError, SFTLensError):
        log = Path("(no log could be written)")
    _end(f"a fault of SFTLens, not yours: {type(error).__name__}. Log: {log}", 1)


def _end(line: str, code: int) -> None:
    line = logs.without_secrets(line)
    note(f"error: {line}" if code != 130 else line, logging.ERROR)
    sys.exit(code)
