"""Every error a user can cause, in one tree; each says where, what, got, do in one line.

SFTLensError
├── ConfigError      the cache folder or the environment is not usable
├── AccessError      who acts may not do this
├── RecordError      a file of records cannot be read as samples
├── PoolError        a pool is unknown, empty, or of the wrong kind
├── ModelError       a model name cannot be turned into a loadable checkpoint
├── MethodError      a method name or one of its parameters is wrong
├── BudgetError      a budget or a policy cannot be met
├── RunError         a run cannot start, or is not there
├── StoreError       the DuckDB file is locked, damaged or of another schema
├── ManifestError    a manifest cannot be read or replayed
├── EndpointError    a server that draws answers cannot be used
└── HubError         an export cannot be sent to the hub
"""

_UNSET = object()
LONGEST = 2000  # characters of a line; what a file says may be longer
END = 600  # of them at its end, where it says what to do


class SFTLensError(Exception):
    """Base class: the CLI prints it as one line and exits with 2, the app shows it.

    Args:
        where: what the error is about, e.g. `pool.jsonl:17` or `differential_entropy.trim_low`.
        what: what is wrong, as a clause.
        got: the value that was found, left out when there is none worth showing.
        do: what the user can do about it, as a sentence.
    """

    def __init__(self, where: object, what: str, *, got: object = _UNSET, do: str = "") -> None:
        self.where, self.what, self.do = str(where), what, do
        parts = [f"{where}: {what.rstrip('.')}."]
        if got is not _UNSET:
            parts.append(f"Got {_shown(got)[:120]}.")
        if do:
            parts.append(do)
        super().__init__(one_line(" ".join(parts)))


def _shown(got: object) -> str:
    try:
        return str(got) if isinstance(got, int | float) else repr(got)
    except (RecursionError, ValueError):  # nested too deeply, or of thousands of digits
        return f"a {type(got).__name__} that cannot be shown"


def one_line(text: str) -> str:
    """One line that neither a terminal nor a page obeys, whatever a file or a link said."""
    line = " ".join(text.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST - END]} … {line[-END:]}"
    return "".join(c if c.isprintable() else "�" for c in line)


class ConfigError(SFTLensError):
    """The cache folder or the environment is not usable."""


class AccessError(SFTLensError):
    """Who acts may not do this: a role too small, an app that only reads, a path outside."""


class RecordError(SFTLensError):
    """A file of records cannot be read as samples."""


class PoolError(SFTLensError):
    """A pool is unknown, empty, or of the wrong kind."""


class ModelError(SFTLensError):
    """A model name cannot be turned into a loadable checkpoint."""


class MethodError(SFTLensError):
    """A method name or one of its parameters is wrong."""


class BudgetError(SFTLensError):
    """A budget or a policy cannot be met."""


class RunError(SFTLensError):
    """A run cannot start, or is not there."""


class StoreError(SFTLensError):
    """The DuckDB file is locked, damaged or of another schema."""


class ManifestError(SFTLensError):
    """A manifest cannot be read or replayed."""


class EndpointError(SFTLensError):
    """A server that draws answers cannot be used."""


class HubError(SFTLensError):
    """An export cannot be sent to the hub."""
