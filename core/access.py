"""Who may do what, asked where a write happens, whoever calls it: the app, a command, a test.

    viewer     reads
    annotator  reads, and gives verdicts with notes
    curator    does everything

`SFTLENS_READ_ONLY` (set by `sftlens app --read-only`) leaves everybody with reading. Who acts is
the account that runs this process; the app asks its login instead, see `identify_by`. What was
done, and what was refused, stands in the log of writes.
"""

import getpass
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

from core import writes
from core.errors import AccessError
from core.roles import ROLES, Role

Action = Literal[
    "read", "write", "verdict", "recipe", "score", "stop", "heat", "map", "import", "export",
    "push", "rebuild",
]  # fmt: skip
LOG = logging.getLogger(__name__)
READ_ONLY = "SFTLENS_READ_ONLY"
ACTOR = "SFTLENS_PERSON"  # for whom a process that the app started works
SEEING: frozenset[Action] = frozenset({"read"})
JUDGING: frozenset[Action] = SEEING | {"write", "verdict"}  # "write": anything at all
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """Who acts. `role` None: somebody who is not known here, and sees nothing.

    `signed_in`: the name comes from a login, so nobody can give another one.
    """

    name: str
    role: Role | None
    signed_in: bool = False


def allowed(role: Role | None, action: Action) -> bool:
    """Whether a role may do it."""
    if role is None:
        return False
    return role == "curator" or action in (JUDGING if role == "annotator" else SEEING)


def owner() -> Person:
    """The account that runs this process, who may do everything."""
    try:
        name = os.environ.get(ACTOR, "").strip() or getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    return Person(name, "curator")


_ask: Callable[[], Person] = owner


def identify_by(ask: Callable[[], Person]) -> None:
    """Let this process ask somebody else who acts; at every write, never only once."""
    global _ask
    _ask = ask


def person() -> Person:
    """Who acts now."""
    return _ask()


def read_only() -> bool:
    """Whether this process only reads."""
    return os.environ.get(READ_ONLY, "").strip() not in ("", "0")


def refusal(action: Action) -> str:
    """Why who acts now may not do it, as a sentence; empty where it is allowed."""
    error = _error(person(), action, "")
    return f"{error.what[0].upper()}{error.what[1:]}. {error.do}" if error else ""


def _error(who: Person, action: Action, on: str) -> AccessError | None:
    where = on or ("the store" if action == "write" else action)
    if who.role is None:
        return AccessError(where, "nobody is signed in who is known here", do="Log in first.")
    if action != "read" and read_only():
        do = "Ask whoever started it for one without --read-only."
        return AccessError(where, "this app is read-only", do=do)
    if allowed(who.role, action):
        return None
    needed = next(role for role in ROLES if allowed(role, action))
    what = f"this takes {_a(needed)}, and {who.name} is {_a(who.role)}"
    return AccessError(where, what, do="Ask whoever keeps the roles of this app.")


def _a(role: Role) -> str:
    return f"an {role}" if role[0] == "a" else f"a {role}"


def need(action: Action, on: str = "") -> Person:
    """Who acts now, if they may do this.

    Raises:
        AccessError: they may not. A refused write stands in the log, too.
    """
    who = person()
    error = _error(who, action, on)
    if error is None:
        return who
    if action != "read":
        with suppress(Exception), writes.opened() as log:  # refused it is, with or without a line
            writes.add(log, who.name, action, on, "refused")
    raise error


def need_as(name: str, action: Action, on: str = "") -> None:
    """Like `need`, for a write that says who made it: nobody signed in writes as another.

    Raises:
        AccessError: who acts may not do this, or the name is not theirs.
    """
    who = need(action, on)
    if who.signed_in and name != who.name:
        do = "Leave the name as the login gives it."
        raise AccessError("name", f"is not that of {who.name}", got=name, do=do)


@contextmanager
def act(action: Action, on: str, detail: str = "") -> Iterator[Person]:
    """A write: refused or done, and logged either way. Give names and ids, never a text.

    Raises:
        AccessError: who acts may not do this.
        ConfigError: the log cannot be written; then nothing else is.
    """
    who = need(action, on)
    with writes.opened() as log:
        try:
            yield who
        except BaseException as error:
            with suppress(OSError):  # the error that ended the write is the one to tell
                writes.add(log, who.name, action, on, "failed", type(error).__name__)
            raise
        try:
            writes.add(log, who.name, action, on, "done", detail)
        except OSError:  # the write is done, and must not be called failed
            LOG.warning("the log of writes took no line for: %s %s", action, on)


def acts(action: Action, on: Callable[..., str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A function that is such a write; `on` names the object from the function's arguments."""

    def decorate(write: Callable[P, T]) -> Callable[P, T]:
        @wraps(write)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            with act(action, on(*args, **kwargs)):
                return write(*args, **kwargs)

        return guarded

    return decorate


def handed_on() -> Mapping[str, str]:
    """What a process that works for who acts now must be told: their name."""
    who = person()
    return {ACTOR: who.name} if who.signed_in else {}
