"""Bytes that no file should hold: valid ones broken at random, and rows of hostile values."""

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

TOKENS = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n", b"\r\n", b'"', b"'", b",", b"\t"),
    *(b"{", b"}", b"[", b"]", b":", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0.0"),
    *(b"\\u0000", b"\\ud800", b"\\udfff", b"\\", b"\xe2\x80\xa8", b"\x1b[31m", b"PAR1"),
    b"\x1f\x8b",
    *(b"9" * 400, b"9" * 5000, b"[" * 1500, b'{"a":' * 1500, b"A" * 3000, b'"a":1,"a":2,'),
    *(b"instruction", b"output", b"messages", b"role", b"content", b"<script>", b"=1+1"),
)
TEXTS = (
    *("", " ", "\0", "\x1b]0;x\x07", "\u202e", "a" * 5000, "=cmd()", "<img src=x onerror=y>"),
    *("../../etc/passwd", "/etc/passwd", "'; DROP TABLE pools; --", 'x" y', "%s%n", "{0}", "`id`"),
    *("user", "assistant", "system", "A", "text", "10%", "top", "1e999", "9" * 60, "NaN", "\u2028"),
)
NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308, 5e-324)
ODD = (None, True, False, float("nan"), float("inf"), [], {}, [[]], [{}], {"": None}, "\ud800")


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, changed in a few places; now and then nothing but random bytes."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(300))
    data = rng.choice(seeds)
    for _ in range(1 + min(int(rng.expovariate(0.5)), 12)):
        data = rng.choice(CHANGES)(rng, data, seeds)
    return data


def _flipped(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _set(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + data[b:] if rng.random() < 0.7 else data[:b]


def _doubled(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:b] * rng.choice((1, 1, 2, 20)) + data[b:] if b - a < 999 else data


def _inserted(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def _spliced(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
CHANGES: tuple[Change, ...] = (_flipped, _flipped, _set, _cut, _doubled, _inserted, _spliced)


def hostile(rng: random.Random, depth: int = 2) -> Any:
    """A value of any type and size that JSON can write."""
    kind = rng.randrange(6 if depth else 4)
    if kind < 2:
        return rng.choice(TEXTS)
    if kind == 2:
        return rng.choice(NUMBERS)
    if kind == 3:
        return rng.choice(ODD)
    if kind == 4:
        return [hostile(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): hostile(rng, depth - 1) for _ in range(rng.randrange(4))}


def twisted(rng: random.Random, value: Any) -> Any:
    """A value of JSON in which some part, at any depth, is another."""
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return hostile(rng)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return [*value[:at], twisted(rng, value[at]), *value[at + 1 :]]
    name, roll = rng.choice(list(value)), rng.random()
    if roll < 0.1:
        return {k: v for k, v in value.items() if k != name}
    if roll < 0.2:
        return value | {rng.choice(TEXTS): hostile(rng)}
    return value | {name: twisted(rng, value[name])}


def as_json(rng: random.Random, value: Any) -> bytes:
    """As JSON, with lone surrogates as escapes or as the bytes that they would be."""
    if rng.random() < 0.5:
        return json.dumps(value).encode()
    return json.dumps(value, ensure_ascii=False).encode("utf8", "surrogatepass")


def packed(rng: random.Random, data: bytes) -> bytes:
    """As gzip: whole, cut, broken, several members, with something after the end, or twice."""
    whole = gzip.compress(data, 1, mtime=0)
    roll = rng.randrange(12)
    if roll == 0:
        return whole[: rng.randrange(len(whole) + 1)]
    if roll < 3:
        return mutated(rng, [whole])
    if roll == 3:
        return whole + rng.choice((b"\0" * 9, b"x", b"\x1f\x8b", gzip.compress(b""), whole))
    if roll == 4:
        half = len(data) // 2
        return gzip.compress(data[:half], 1) + gzip.compress(data[half:], 1)
    return gzip.compress(whole, 1) if roll == 5 else whole


def linked(rng: random.Random, data: bytes) -> str:
    """As the text of a link, or broken on the way."""
    roll = rng.randrange(8)
    if roll == 0:
        return mutated(rng, [data]).decode("utf8", "replace")
    text = base64.urlsafe_b64encode(zlib.compress(data, 1)).rstrip(b"=")
    return (mutated(rng, [text]) if roll < 3 else text).decode("latin1")
