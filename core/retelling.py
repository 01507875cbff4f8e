"""Lines of the journal -> rows of a store, and an account of what came back.

Lines are read in the order in which they were written, so that a run meets the pool as it was
then. Samples come from their copies with the same ids and places, scores from the parts without
any model's weights, what people said word for word.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from core import config, mapping, models, runs, store, warm_ups
from core.blocks import Block, Task
from core.domain import Pool, RunSpec
from core.endpoints import of_card
from core.errors import RunError, SFTLensError, StoreError
from core.progress import Progress
from core.store import copies, pools, recipes, reviews
from core.store import runs as stored
from core.store.journal import Line

DAMAGED = (store.Unfit, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
NAMES = {
    "import": "imports",
    "run": "runs",
    "map": "maps",
    "recipe": "recipes",
    "review": "reviews",
}


@dataclass
class Account:
    """What became of each line: there = back + lost, by kind. `lost` says of each one why."""

    there: Counter[str] = field(default_factory=Counter)
    back: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[str, str]] = field(default_factory=list)
    unreadable: int = 0  # lines of the journal
    aside: Path | None = None  # where the damaged file is now; None where nothing was done

    def sentences(self) -> Iterator[str]:
        """`runs      5 of 6 came back`, a line a kind, and a line for each that did not."""
        for kind, name in NAMES.items():
            yield f"{name:9} {self.back[kind]:,} of {self.there[kind]:,} came back"
            yield from (f"  not: {why}" for lost, why in self.lost if lost == kind)
        if self.unreadable:
            yield f"  not: {self.unreadable:,} lines of the journal that cannot be read"


def retell(lines: Sequence[Line], place: Path, progress: Progress, account: Account) -> None:
    """Write each line into the store, and say in the account what became of it.

    Raises:
        StoreError, ConfigError: the store or the cache takes no writes; that is no lost line.
    """
    acts: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
        "import": partial(_import, place=place),
        "run": partial(_run, place=place, progress=progress),
        "map": partial(_map, progress=progress),
        "recipe": _recipe,
        "review": _review,
    }
    ends = (str(config.store_path()), str(config.cache_dir()))
    with progress.stage("rebuilding", len(lines), "lines") as stage:
        for line in lines:
            if line.facts.get("n") != 0 or line.kind != "import":  # else it only ends another one
                account.there[line.kind] += 1
                try:
                    acts[line.kind](line.facts)
                    account.back[line.kind] += 1
                except (SFTLensError, *DAMAGED) as error:
                    if str(getattr(error, "where", "")) in ends:
                        raise
                    account.lost.append((line.kind, _why(line, error)))
            stage.advance()


def _why(line: Line, error: Exception) -> str:
    """What did not come back, and what to do about it."""
    facts = line.facts
    names = ("pool", "name", "method", "of", "sample_id")
    about = " ".join(str(facts[name])[:40] for name in names if name in facts)
    told = str(error) if isinstance(error, SFTLensError) else f"its line is damaged: {error!r}"
    return f"{about}: {told}"


def _import(facts: Mapping[str, Any], place: Path) -> None:
    name, start = facts["pool"], facts["start"]
    if not copies.is_whole(place, facts, thorough=True):
        do = "Import its file again."
        raise StoreError(facts["file"], "this copy is gone or damaged", do=do)
    held = _pool(name)
    if (held.fingerprint if held else "") != facts["before"]:
        do = "Import its file again."
        raise StoreError(facts["file"], f"what came before sample {start + 1:,} is gone", do=do)
    with store.connect(write=True) as con:
        added = pools.add_pool(con, name, facts["kind"], place / Path(facts["file"]).name)
        if added.pool.fingerprint != facts["after"]:
            raise StoreError(facts["file"], "gives other samples than it did", got=added.imported)


def _pool(name: str) -> Pool | None:
    with suppress(SFTLensError), store.connect() as con:
        return pools.get_pool(con, name)
    return None


def _run(facts: Mapping[str, Any], place: Path, progress: Progress) -> None:
    """Score again from the parts; scores that came from a file come from their copy."""
    _as_it_was(facts)
    if "file" in facts["card"]:
        if not copies.is_whole(place, facts, thorough=True):
            raise StoreError(facts["run_id"][:8], "the copy of its scores is gone or damaged")
        with store.connect(write=True) as con:
            stored.restore(con, facts, place / Path(facts["file"]).name)
        return
    spec = _spec(facts)
    if not models.is_here(spec.model):
        do = "Fetch it, and score again."
        raise RunError(facts["run_id"][:8], f"its model {spec.model} is not here", do=do)
    made = runs.execute(spec, progress, FromParts(), warm_ups.foreseen).run
    if made.run_id != facts["run_id"]:
        what = f"is run {made.run_id[:8]} now: it was made by another version"
        raise RunError(facts["run_id"][:8], what)


def _as_it_was(facts: Mapping[str, Any]) -> None:
    """Refuse what was made of samples that the pool does not hold now."""
    held = _pool(facts["pool"])
    if held is None or held.fingerprint != facts["fingerprint"]:
        raise RunError(facts["pool"], "the samples that it was made of did not come back")


def _spec(facts: Mapping[str, Any]) -> RunSpec:
    card = facts["card"]
    device, _, dtype = str(card["precision"]).partition("-")
    query = (card["query"] or {}).get("name", "")
    asked = (facts["pool"], facts["method"], facts["params"], card["model"])
    spec = RunSpec(*asked, device, dtype, card["max_tokens"], query)
    return replace(spec, answers=of_card(card))


class FromParts:
    """An executor that measures nothing: what no part holds is lost."""

    def map(self, task: Task, blocks: Sequence[Block]) -> Iterator[Block]:
        """See `Executor.map`.

        Raises:
            RunError: always.
        """
        n = sum(len(block.ids) for block in blocks)
        do = "Score the pool again: only these are measured."
        raise RunError(task.folder.name, f"no part holds {n:,} of its samples", do=do)


def _map(facts: Mapping[str, Any], progress: Progress) -> None:
    """Make the map again from the vectors on disk."""
    _as_it_was(facts)
    if not {"checkpoint", "run"} & set(facts["source"]):
        raise RunError(facts["map_id"][:8], "its vectors are not on disk", do="Make it again.")
    asked = (facts["pool"], facts["of"], facts["seed"])
    made = mapping.make(*asked, progress, FromParts(), warm_ups.foreseen)
    if made.map_id != facts["map_id"]:
        what = f"is map {made.map_id[:8]} now: it was made by another version"
        raise RunError(facts["map_id"][:8], what)


def _recipe(facts: Mapping[str, Any]) -> None:
    with store.connect(write=True) as con:
        recipes.restore(con, facts)


def _review(facts: Mapping[str, Any]) -> None:
    with store.connect(write=True) as con:
        reviews.restore(con, facts)
