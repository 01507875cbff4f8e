"""The dataset card of an export: README.md, as a model hub and a colleague read it.

Markdown, in which every name that a person gave is escaped. No clock and no path in it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.chance import Band
from core.summary import Summary
from core.trainer_files import FILES, NAME

MARKS = re.compile(r"([\\`*_{}\[\]<>#!|~&:@])")
NUMBER = re.compile(r"[-\d–]")
SOURCES = 50  # rows of sources; the others are added up


def card(
    told: Summary, written: Mapping[str, Mapping[str, Any]], shape: str, uneven: int = 0
) -> str:
    """The card of a subset whose data files are `written`: name -> rows, bytes, sha256.

    `uneven`: its conversations in which turns do not alternate.
    """
    parts = [
        _front(told, list(written)),
        f"# {plain(told.pool)}: {told.kept:,} of {told.n:,} samples",
        _what(told, shape),
        "## How it was chosen",
        "\n".join(f"{i}. {plain(text)}" for i, text in enumerate(told.words, 1)),
        *(f"Note: {plain(text)}" for text in told.notes),
        "## Every sample has a reason",
        table(("reason", "samples"), [("kept", f"{told.kept:,}"), *_counts(told)]),
        "## Sources",
        _sources(told),
        "## Against a random draw",
        _random(told),
        "## Models and seeds",
        _made_by(told),
        "## Files",
        _files(written),
        _loading(next(iter(written)), shape, uneven),
        "## Limitations",
        _limits(told),
        "## Licence",
        "Not stated. The samples keep the licences of their sources: look them up, then fill in"
        " `license` at the head of this file.",
        "## Made again",
        f"Recipe `{told.recipe_key}` on run `{told.run_id}` of pool `{told.fingerprint}`. With the"
        " store that holds this run, `sftlens replay manifest.json` makes these files again byte"
        " for byte, or says what differs.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """A text on one line, in which nothing is markup."""
    line = "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
    return MARKS.sub(r"\\\1", line)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns of numbers stand at the right. Cells must be escaped already."""
    numbers = [all(NUMBER.match(cells[i]) for cells in rows) for i in range(len(head))]
    rule = ["---:" if right else "---" for right in numbers]
    lines = (" | ".join(cells) for cells in (head, rule, *rows))
    return "\n".join(f"| {line} |" for line in lines)


def _front(told: Summary, files: Sequence[str]) -> str:
    """What the hub reads. JSON strings are YAML strings."""
    lines = ["---", "# license: fill this in, see Licence below", "pretty_name: "]
    lines[-1] += json.dumps(f"{told.pool}, {told.kept:,} of {told.n:,} samples")
    lines += ["task_categories:", "- text-generation", "tags:", "- sftlens", "- instruction-tuning"]
    lines.append("configs:")
    for name in files:
        config = "default" if name.startswith("subset") else name.partition(".")[0]
        lines += [f"- config_name: {config}", "  data_files:", "  - split: train"]
        lines += [f"    path: {name}"]
    return "\n".join([*lines, "---"])


def _what(told: Summary, shape: str) -> str:
    share = f"{100 * told.kept / told.n:.1f} %"
    by = f"{plain(told.method)}, {plain(told.paper)}"
    return (
        f"A subset for instruction tuning in the {shape} shape: {told.kept:,} of the {told.n:,}"
        f" samples of the pool {plain(told.pool)} ({share}), {told.tokens:,} of"
        f" {told.tokens_before:,} response tokens. Chosen by {by} with SFTLens."
    )


def _counts(told: Summary) -> list[tuple[str, str]]:
    return [(plain(name), f"{size:,}") for name, size in told.steps]


def _sources(told: Summary) -> str:
    rows = [
        _source(plain(s.name), s.before, s.after, told.kept, s.share)
        for s in told.sources[:SOURCES]
    ]
    if more := told.sources[SOURCES:]:
        before, after = sum(s.before for s in more), sum(s.after for s in more)
        rows.append(_source(f"{len(more):,} other sources", before, after, told.kept, None))
    head = ("source", "before", "after", "share of the kept", "95 % of random draws")
    return table(head, rows)


def _source(name: str, before: int, after: int, kept: int, band: Band | None) -> tuple[str, ...]:
    return name, f"{before:,}", f"{after:,}", _per_cent(after, kept), _band(band)


def _random(told: Summary) -> str:
    if not told.averages:
        return "Nothing is kept, so there is nothing to compare."
    rows = [
        (name, f"{b.kept:.4g}", f"{b.expected:.4g}", f"{b.low:.4g} to {b.high:.4g}")
        for name, b in told.averages
    ]
    said = (
        "Draws of the same size and lengths, worked out exactly; "
        f"{100 * told.shared:.1f} % of such a draw are the kept samples themselves."
    )
    return said + "\n\n" + table(("mean", "kept", "random", "95 % of draws"), rows)


def _made_by(told: Summary) -> str:
    rows = [("models and precision", plain(told.models) or "none was asked")]
    rows += [("method", f"{plain(told.method)}, {plain(told.paper)}")]
    rows += [(plain(k), f"{v}") for k, v in sorted(told.seeds.items())]
    return table(("what", "which"), rows)


def _files(written: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (f"`{name}`", f"{facts['rows']:,}", f"{facts['bytes']:,}", f"`{facts['sha256']}`")
        for name, facts in written.items()
    ]
    return table(("file", "rows", "bytes", "SHA-256"), rows)


def _loading(file: str, shape: str, uneven: int) -> str:
    kind = "parquet" if file.endswith(".parquet") else "json"
    load = f'load_dataset("{kind}", data_files="{file}")'
    code = f"```python\nfrom datasets import load_dataset\n\n{load}"
    uses = "\n".join(f"- `{name}` for {use}" for name, use in FILES.items())
    note = f"LLaMA-Factory knows the data as `{NAME}`."
    if shape == "alpaca":
        note += " It joins instruction and input by one line break, where SFTLens scores two."
    elif uneven:
        note += f" It skips {uneven:,} of them, in which turns do not alternate."
    return f"{code}\n```\n\n{uses}\n\n{note}"


def _limits(told: Summary) -> str:
    said = [
        "A score says what its method measures with these models, not whether an answer is right."
        " Another model ranks differently.",
        "Kept does not mean read. An audit in SFTLens says how good the kept samples are and how"
        " sure that is.",
    ]
    if told.n > told.scored:
        lost = told.n - told.scored
        said.append(f"{lost:,} samples have no score and could be kept by hand only.")
    if outside := [s.name for s in told.sources if s.share and s.share.beyond]:
        names = ", ".join(map(plain, outside[:8]))
        said.append(f"The choice shifts sources beyond what chance explains: {names}.")
    return "\n".join(f"- {text}" for text in said)


def _per_cent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _band(band: Band | None) -> str:
    return f"{100 * band.low:.1f} % to {100 * band.high:.1f} %" if band else "–"
