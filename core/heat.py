"""Token heat: NLL and entropy of every response token of one sample, on demand and kept.

    nll_t     = -ln p(y_t | x, y_<t)                          in nats
    entropy_t = -sum_v p(v | x, y_<t) ln p(v | x, y_<t)       in nats

They are measured with the checkpoints of a run, in its precision, so that their means over the
response are the numbers that the run ranks by. One small file a checkpoint and sample, named by
the checkpoint's key, the precision and the sample's id, renamed into place: the second time is
free, and runs share what they share.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core import access, config, files, jobs, models, store, warm_ups
from core.domain import FloatN, IntN, Sample, content_hash
from core.engines import loader, memory
from core.engines.hardware import Precision, choose
from core.errors import ConfigError, RunError
from core.methods import build, catalogue
from core.models import Checkpoint
from core.signals import Signal, TokenStats
from core.store import pools
from core.store.runs import Run, get_run, how

VERSION = 1  # raise it when the same checkpoint gives other numbers
ROLES = ("base", "calibrated")
FREE = "Close what else uses memory, and ask again."


@dataclass(frozen=True)
class Heat:
    """One response under one checkpoint. All have one entry a token, (t,).

    `text`: what the token adds to the response; `turn`: which response of the conversation.
    """

    text: tuple[str, ...]
    turn: IntN
    nll: FloatN
    entropy: FloatN


def roles(run: Run) -> dict[str, Signal]:
    """The checkpoints of a run that can be asked for every token: base, and calibrated if any."""
    needs: Mapping[str, Signal] = build(run.method, run.params).needs() if _known(run) else {}
    asked = {name: needs[name] for name in ROLES if isinstance(needs.get(name), TokenStats)}
    return {"base": TokenStats(), **asked}


def _known(run: Run) -> bool:
    return run.method in catalogue()


def kept(run: Run, sample_id: str) -> dict[str, Heat]:
    """What is on disk for a sample, by role; all roles of the run or the measuring is not done."""
    found = {role: files.read_json(_path(run, role, sample_id)) for role in roles(run)}
    return {
        role: Heat(
            tuple(row["text"]),
            np.array(row["turn"], np.int64),
            np.array(row["nll"], np.float64),
            np.array(row["entropy"], np.float64),
        )
        for role, row in found.items()
        if isinstance(row, dict)
    }


def lacking(run: Run) -> str:
    """Why the run's checkpoints cannot be asked any more, as a sentence; empty if they can."""
    again = f"`{how(run.pool, run.method)}` makes it anew."
    if "base" not in run.card:
        return "These scores were imported, so there is no model to ask."
    if not models.is_here(str(run.card["model"])):
        what = f"The model of this run ({run.card['base']['name']}) is not on this machine"
        return f"{what}, as in a store that came without its models. {again}"
    if not all(_is_here(run, role, signal) for role, signal in roles(run).items()):
        return f"The calibrated checkpoint of this run is not in the cache any more. {again}"
    return ""


def _is_here(run: Run, role: str, signal: Signal) -> bool:
    """Whether a role's weights are on this machine; nothing is fetched to find out."""
    if signal.warm_up is None:
        return models.is_here(signal.model or str(run.card["model"]))
    if run.card["model"] == "fake":
        return True
    base = Checkpoint(**run.card["base"], folder="-")  # where it is does not matter here
    return warm_ups.saved(_key(run, role), base) is not None


@access.acts("heat", lambda pool, sample_id, run_id: f"{pool} {sample_id}")
def measure(pool: str, sample_id: str, run_id: str) -> dict[str, Heat]:
    """Measure what is not kept yet, with the run's own checkpoints and precision.

    Raises:
        RunError: the run is not in the store, its checkpoints have gone, the sample is longer
            than the run's limit, or not in the pool, or memory is short.
    """
    run, sample = _asked(pool, sample_id, run_id)
    if reason := lacking(run):
        raise RunError(run.run_id[:8], reason)
    precision = _precision(run)
    for role, signal in roles(run).items():
        path, checkpoint = _path(run, role, sample_id), _checkpoint(run, role)
        if checkpoint is None or files.read_json(path) is not None:
            continue
        engine = loader.load(checkpoint, precision)
        limit = int(run.card["max_tokens"])
        ask = partial(engine.token_heat, sample, signal.template, limit)
        row = memory.within(engine, checkpoint.name, ask, FREE)
        if not len(row["nll"]):
            what = f"is longer than the {limit:,} tokens of this run, or empty"
            raise RunError(sample_id[:8], what, do="Score the pool with a larger --max-tokens.")
        files.write_json(path, {k: v.tolist() for k, v in row.items()}, indent=None)
    return kept(run, sample_id)


def launch(pool: str, sample_id: str, run_id: str) -> None:
    """Start `measure` in a process of its own and return at once; one that runs is left alone.

    Raises:
        AccessError: who acts may not measure.
    """
    access.need("heat", f"{pool} {sample_id}")
    job = _job(run_id, sample_id)
    if state(run_id, sample_id)[0] == "running":
        return
    config.check_writable()
    process = jobs.spawn(["heat", pool, sample_id, "--run", run_id], job.with_suffix(".txt"))
    own = {"pid": process.pid, "started": jobs.start_of(process.pid)}
    files.write_json(job, {"state": "running", "at": time.time(), **own})


def state(run_id: str, sample_id: str) -> tuple[str, str]:
    """How a launched measuring stands (running, stopped, or empty for none) and its last line.

    It does not say "done": then the numbers are there, see `kept`.
    """
    job = _job(run_id, sample_id)
    facts = files.read_json(job)
    if not isinstance(facts, dict):
        return "", ""
    log = job.with_suffix(".txt")
    lines = log.read_text("utf8", errors="replace").splitlines() if log.is_file() else []
    return jobs.state_of(facts), lines[-1].removeprefix("error: ") if lines else ""


def _job(run_id: str, sample_id: str) -> Path:
    return config.folder("heat") / "jobs" / f"{content_hash([run_id, sample_id], 16)}.json"


def _asked(pool: str, sample_id: str, run_id: str) -> tuple[Run, Sample]:
    with store.connect() as con:
        run = get_run(con, run_id)
        if run is None or run.pool != pool:
            do = "Take one from: sftlens status."
            raise RunError(run_id[:8], f"this run of {pool} is not in the store", do=do)
        try:
            return run, pools.read_samples(con, pool, [sample_id])[0]
        except KeyError:
            do = "Take its id from the app or an export with --scores."
            raise RunError(sample_id, f"there is no such sample in {pool}", do=do) from None


def _precision(run: Run) -> Precision:
    device, _, dtype = str(run.card["precision"]).partition("-")
    try:
        return choose(device, dtype)
    except ConfigError as error:
        what = f"was measured on {device}, which this machine does not have"
        raise RunError(run.run_id[:8], what, do="Score the pool on this machine.") from error


def _checkpoint(run: Run, role: str) -> Checkpoint | None:
    """The checkpoint that a run measured a role with; None if its weights have gone."""
    signal, key = roles(run)[role], _key(run, role)
    if signal.warm_up is None:
        found = models.resolve(signal.model or str(run.card["model"]))
        return found if found.key == key else None
    return warm_ups.saved(key, models.resolve(str(run.card["model"])))


def _key(run: Run, role: str) -> str:
    card: dict[str, Any] = run.card
    return str(card.get("checkpoints", {}).get(role, card.get("base", {})).get("key", ""))


def _path(run: Run, role: str, sample_id: str) -> Path:
    shaped_by = [VERSION, _key(run, role), run.card.get("precision"), run.card.get("max_tokens")]
    shaped_by += [roles(run)[role].template, sample_id]
    return config.folder("heat") / f"{content_hash(shaped_by)}.json"
