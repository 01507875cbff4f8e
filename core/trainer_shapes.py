"""The shapes that trainers read: alpaca, messages and sharegpt."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from core.domain import Sample, Turn

if TYPE_CHECKING:
    import pyarrow as pa

Shape = Literal["alpaca", "messages", "sharegpt"]


def to_messages(sample: Sample) -> dict[str, Any]:
    """OpenAI messages: `{"messages": [{"role", "content"}]}`."""
    return {"messages": [{"role": t.role, "content": t.content} for t in sample.turns]}


def to_sharegpt(sample: Sample) -> dict[str, Any]:
    """ShareGPT: `{"conversations": [{"from", "value"}]}` with human, gpt and system."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return {"conversations": [{"from": names[t.role], "value": t.content} for t in sample.turns]}


def to_alpaca(sample: Sample) -> dict[str, Any]:
    """Alpaca: instruction, input, output; with system and history only where there are any.

    Neighbouring turns of one role are joined by a blank line. A user turn after the last
    answer has no place in this shape; see `loses_turn`.
    """
    system = "\n\n".join(t.content for t in sample.turns if t.role == "system")
    pairs: list[list[str]] = []
    before = ""
    for turn in (t for t in sample.turns if t.role != "system"):
        if turn.role == "user":
            pairs += [[turn.content, ""]] if before != "user" else []
            if before == "user":
                pairs[-1][0] += f"\n\n{turn.content}"
        else:
            pairs[-1][1] += turn.content if before == "user" else f"\n\n{turn.content}"
        before = turn.role
    answered = [pair for pair in pairs if pair[1]]
    instruction, output = answered[-1]
    alone = len(answered) == 1 and sample.input
    record = {
        "instruction": instruction.removesuffix(f"\n\n{sample.input}") if alone else instruction,
        "input": sample.input if alone else "",
        "output": output,
    }
    record |= {"system": system} if system else {}
    return record | ({"history": answered[:-1]} if len(answered) > 1 else {})


def loses_turn(sample: Sample, shape: Shape) -> bool:
    """Whether the shape cannot hold the sample's last turn."""
    last: Turn = sample.turns[-1]
    return shape == "alpaca" and last.role == "user"


def alternates(sample: Sample) -> bool:
    """Whether user and assistant take turns after the system turn, and an answer is last.

    LLaMA-Factory skips other conversations in the shapes messages and sharegpt.
    """
    roles = [turn.role for turn in sample.turns]
    said = roles[1:] if roles[:1] == ["system"] else roles
    return said == ["user", "assistant"] * (len(said) // 2) and bool(said)


SHAPES: dict[Shape, Callable[[Sample], dict[str, Any]]] = {
    "alpaca": to_alpaca,
    "messages": to_messages,
    "sharegpt": to_sharegpt,
}


def schema(shape: Shape, *, scores: bool) -> "pa.Schema":
    """Columns of a Parquet export; alpaca's optional ones are there, empty, in every row."""
    import pyarrow as pa

    text = pa.string()

    def turns(*names: str) -> "pa.DataType":
        return pa.list_(pa.struct([(name, text) for name in names]))

    columns = {
        "alpaca": [
            *((n, text) for n in ("instruction", "input", "output", "system")),
            ("history", pa.list_(pa.list_(text))),
        ],
        "messages": [("messages", turns("role", "content"))],
        "sharegpt": [("conversations", turns("from", "value"))],
    }[shape]
    if scores:
        columns += [("sftlens_id", text), ("sftlens_score", pa.float64()), ("sftlens_reason", text)]
    return pa.schema(columns)
