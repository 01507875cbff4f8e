"""Measured rates in the cache: one small JSON for each model and precision."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core import __version__, config, files
from core.engines.hardware import Precision
from core.estimates import Cost, Rates
from core.models import Checkpoint

FORM = 1  # of the file; raise it when rates come to mean something else


def path(key: str, precision: str) -> Path:
    """Where the rates of a model at a precision are kept."""
    return config.cache_dir() / "bench" / f"bench-{key}-{precision}.json"


def kept(checkpoint: Checkpoint, precision: Precision) -> Rates | None:
    """The rates that were measured before; None where there are none that can be read."""
    found = files.read_json(path(checkpoint.key, precision.key))
    if not isinstance(found, Mapping) or found.get("form") != FORM:
        return None
    held: dict[str, Any] = {name: value for name, value in found.items() if name != "form"}
    try:
        held["cost"], held["characters"] = Cost(**held["cost"]), tuple(held["characters"])
        return Rates(**held)
    except (TypeError, KeyError):
        return None


def keep(rates: Rates) -> Path:
    """Write rates; those of kinds that were not timed this time stay as they were."""
    place = path(rates.key, rates.precision)
    before = files.read_json(place)
    if isinstance(before, Mapping) and before.get("form") == FORM:
        rates = joined(before, rates)
    files.write_json(place, {"form": FORM} | asdict(rates))
    return place


def joined(before: Mapping[str, Any], rates: Rates) -> Rates:
    """The newer rates, and the older ones of kinds that they lack."""
    new = rates.per_s
    drawn = {} if "sampling" in new else {k: before[k] for k in ("ends", "answer_bytes")}
    return replace(rates, per_s={**before["per_s"], **new}, **drawn)


def versions() -> dict[str, str]:
    """Versions that shape the rates."""
    from importlib.metadata import version

    return {"sftlens": __version__} | {name: version(name) for name in ("torch", "transformers")}
