"""What parent and workers say to each other: JSON behind its length, and nothing but plain values.

A task travels as what it is made of (signal, checkpoint, precision, folders), samples as their
fields. Classes are looked up in a short list by name, so a message can make nothing else.
"""

import json
import struct
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from core import errors
from core.blocks import Block, Fetch, Task
from core.domain import Sample, Turn, WarmUp
from core.engines import Pooling, Sampling, Sketch
from core.engines.hardware import Precision
from core.engines.loader import Loadable
from core.models import Checkpoint
from core.signals import Signal

LENGTH = struct.Struct(">Q")  # of the message behind it, in bytes
PARTS = (WarmUp, Sampling, Pooling, Sketch, Precision, Checkpoint)  # of a task, signals aside


class WorkerFault(Exception):
    """A fault of SFTLens in a worker; its notes hold the traceback from there."""


def packed(message: Any) -> bytes:
    """A message as it is sent. Lone surrogates of a broken record go through unchanged."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    body = text.encode("utf8", "surrogatepass")
    return LENGTH.pack(len(body)) + body


def receive(source: IO[bytes]) -> Any:
    """The next message; None when the other side has gone, be it in the middle of one."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length = LENGTH.unpack(head)[0]
    body = source.read(length)
    return json.loads(body.decode("utf8", "surrogatepass")) if len(body) == length else None


def work(task: Task, block: Block, halvings: int = 0) -> dict[str, Any]:
    """A block with its samples, and all that a worker must know to measure it.

    `halvings`: how often the engine's budget is to be halved before, at least.
    """
    return {
        "signal": plain(task.signal),
        "checkpoint": plain(task.engine.checkpoint),
        "precision": plain(task.engine.precision),
        "folder": str(task.folder.resolve()),
        "max_tokens": task.max_tokens,
        "given": str(task.given.resolve()) if task.given else None,
        "ids": block.ids,
        "work": block.work,
        "halvings": halvings,
        "samples": [_flat(sample) for sample in task.fetch(block.ids)],
    }


def task_of(message: Mapping[str, Any], engine: Loadable) -> tuple[Task, Block]:
    """The task and the block of a message from `work`, on an engine of the worker's own."""
    samples = [_sample(*row) for row in message["samples"]]
    fetch: Fetch = lambda ids: samples  # noqa: E731
    given = Path(message["given"]) if message["given"] else None
    signal, folder = made(message["signal"]), Path(message["folder"])
    task = Task(signal, engine, fetch, folder, message["max_tokens"], given)
    return task, Block(tuple(message["ids"]), message["work"])


def plain(value: Any) -> Any:
    """A signal, or a part of one, as JSON can hold it; `made` is the way back."""
    if is_dataclass(value):
        own = {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        return {"is": type(value).__name__, **own}
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def made(value: Any) -> Any:
    """What `plain` was given."""
    if isinstance(value, dict):
        return _known()[value["is"]](**{k: made(v) for k, v in value.items() if k != "is"})
    return tuple(made(v) for v in value) if isinstance(value, list) else value


@cache
def _known() -> dict[str, type]:
    found = [*PARTS, *Signal.__subclasses__()]
    return {cls.__name__: cls for cls in found}


def _flat(sample: Sample) -> list[Any]:
    turns = [[turn.role, turn.content] for turn in sample.turns]
    return [turns, sample.source, sample.input, dict(sample.meta), sample.record]


def _sample(
    turns: Sequence[Sequence[Any]], source: str, part: str, meta: dict[str, Any], record: str
) -> Sample:
    return Sample(tuple(Turn(*turn) for turn in turns), source, part, meta, record)


def told(error: Exception) -> dict[str, Any]:
    """An error as a worker tells of it; `raised` is the way back.

    Ours stay the sentence they are and a full disk the disk's own; the rest is a fault.
    """
    kind = type(error).__name__
    if isinstance(error, errors.SFTLensError):
        return {"ours": kind, "text": str(error), "about": [error.where, error.what, error.do]}
    if isinstance(error, OSError) and error.errno is not None:
        return {"disk": [error.errno, error.strerror, _name(error.filename)]}
    return {"fault": kind, "text": str(error), "trace": "".join(traceback.format_exception(error))}


def _name(path: object) -> str | None:
    return None if path is None else str(path)


def raised(message: Mapping[str, Any]) -> Exception:
    """The error that a worker told of."""
    if "ours" in message:
        cls: type[errors.SFTLensError] = getattr(errors, message["ours"])
        error = cls.__new__(cls, message["text"])  # the sentence as it is, not put together again
        error.where, error.what, error.do = message["about"]
        return error
    if "disk" in message:
        return OSError(*message["disk"])
    fault = WorkerFault(f"{message['fault']}: {message['text']}")
    fault.add_note(message["trace"])
    return fault
