"""Who has which role, by e-mail or by domain, from a TOML file that somebody keeps by hand.

    hours = 12                        # a login is good for so long; 12 when left out

    [roles]
    "ada@example.org" = "curator"     # one person
    "@example.org" = "viewer"         # everybody else there

It is read anew whenever it changes, so that who is taken out has no rights from then on.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from core.errors import ConfigError

Role = Literal["viewer", "annotator", "curator"]
ROLES: tuple[Role, ...] = get_args(Role)
ADDRESS = re.compile(r"[^@\s]*@[^@\s]+", re.ASCII)
HOURS = 12.0


@dataclass(frozen=True)
class Roles:
    """Roles by e-mail and by `@domain`, in small letters."""

    by_address: Mapping[str, Role]
    hours: float = HOURS

    def of(self, email: object) -> Role | None:
        """The role of an e-mail: its own, else its domain's, else None.

        Other than ASCII has none: there are letters that only look like, or fold to, another.
        """
        if not isinstance(email, str) or not email.isascii() or not ADDRESS.fullmatch(email):
            return None
        name, _, domain = email.lower().partition("@")
        return (
            self.by_address.get(email.lower(), self.by_address.get(f"@{domain}")) if name else None
        )


def read(path: Path) -> Roles:
    """The roles of a file, as it is now.

    Raises:
        ConfigError: it cannot be read, or says something that is no role or no e-mail.
    """
    try:
        stat = path.stat()
    except OSError as error:
        got = error.strerror or str(error)
        raise _wrong(path, "cannot be read", got) from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> Roles:
    try:
        with path.open("rb") as file:
            facts = tomllib.load(file)
    except (OSError, ValueError) as error:  # a TOML error is a ValueError
        raise _wrong(path, "is not TOML", str(error)) from error
    if unknown := sorted(set(facts) - {"hours", "roles"}):
        raise _wrong(path, "has a key that is not known", unknown[0])
    return Roles(_roles(path, facts.get("roles")), _hours(path, facts.get("hours", HOURS)))


def _roles(path: Path, table: Any) -> dict[str, Role]:
    if not isinstance(table, dict) or not table:
        raise _wrong(path, "has no [roles]", table)
    for address, role in table.items():
        if not address.isascii() or not ADDRESS.fullmatch(address):
            raise _wrong(path, "has what is no e-mail and no @domain", address)
        if role not in ROLES:
            raise _wrong(path, f"gives {address} what is no role", role)
    return {address.lower(): role for address, role in table.items()}


def _hours(path: Path, hours: Any) -> float:
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= 720:
        raise _wrong(path, "has hours that are not between 0 and 720", hours)
    return float(hours)


def _wrong(path: Path, what: str, got: object) -> ConfigError:
    do = f'Write [roles] with lines like "ada@example.org" = "{ROLES[0]}" ({", ".join(ROLES)}).'
    return ConfigError(path, what, got=got, do=do)
