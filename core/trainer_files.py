"""What trainers need beside the records: a LLaMA-Factory entry, a TRL script, an Axolotl config.

Texts in, texts out. Each names only columns that the records have.
"""

import json
from collections.abc import Collection

from core.trainer_shapes import Shape

NAME = "sftlens_subset"  # what LLaMA-Factory calls the data set
FILES = {
    "dataset_info.json": "LLaMA-Factory: its entry, for --dataset_dir or its own dataset_info.json",
    "trl_example.py": "TRL: python trl_example.py MODEL",
    "axolotl.yml": "Axolotl: the datasets of a config, as seen from this folder",
}
ALPACA = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "system": "system",
    "history": "history",
}


def trainer_files(shape: Shape, file: str, columns: Collection[str]) -> dict[str, str]:
    """The three files by name, for records of this shape in `file` (subset.jsonl, .parquet)."""
    made = (dataset_info(shape, file, columns), trl_example(shape, file), axolotl(shape, file))
    return dict(zip(FILES, made, strict=True))


def dataset_info(shape: Shape, file: str, columns: Collection[str]) -> str:
    """LLaMA-Factory's entry; it reads `history` and `system` from every record once named."""
    entry: dict[str, object] = {"file_name": file}
    if shape == "alpaca":
        there = {*columns, "instruction", "input", "output"}
        entry["columns"] = {k: v for k, v in ALPACA.items() if v in there}
    else:
        entry |= {"formatting": "sharegpt", "columns": {"messages": COLUMN[shape]}}
        role, content, *tags = TAGS[shape]
        names = ("user_tag", "assistant_tag", "system_tag")
        entry["tags"] = {
            "role_tag": role,
            "content_tag": content,
            **dict(zip(names, tags, strict=True)),
        }
    return json.dumps({NAME: entry}, indent=2) + "\n"


COLUMN = {"messages": "messages", "sharegpt": "conversations"}
TAGS = {
    "messages": ("role", "content", "user", "assistant", "system"),
    "sharegpt": ("from", "value", "human", "gpt", "system"),
}

TRL_HEAD = '''"""Fine-tune on this subset with TRL (pip install trl): python trl_example.py MODEL"""

import sys
from pathlib import Path

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

FILE = Path(__file__).with_name("{file}")
'''
TRL_ALPACA = '''

def conversation(record):
    """Prompt and completion: the loss is on the completion alone."""
    prompt = [{"role": "system", "content": record["system"]}] if record.get("system") else []
    for question, answer in record.get("history") or []:
        prompt.append({"role": "user", "content": question})
        prompt.append({"role": "assistant", "content": answer})
    asked = [text for text in (record["instruction"], record["input"]) if text]
    prompt.append({"role": "user", "content": "\\n\\n".join(asked)})
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": record["output"]}]}
'''
TRL_SHAREGPT = '''
ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


def conversation(record):
    """The same turns under the names that TRL reads."""
    turns = record["conversations"]
    return {"messages": [{"role": ROLES[t["from"]], "content": t["value"]} for t in turns]}
'''
TRL_TAIL = """

if __name__ == "__main__":
    data = load_dataset("{kind}", data_files=str(FILE), split="train")
{to_turns}    SFTTrainer(
        model=sys.argv[1],
        args=SFTConfig(output_dir="trained"{loss}),
        train_dataset=data,
    ).train()
"""
# The answers alone, as SFTLens measures. A template that does not mark them is refused by TRL.
LOSS = ", assistant_only_loss=True"


def trl_example(shape: Shape, file: str) -> str:
    """A script that loads the file and trains on the answers alone."""
    own = {"alpaca": TRL_ALPACA, "messages": "", "sharegpt": TRL_SHAREGPT}[shape]
    mapped = "    data = data.map(conversation, remove_columns=data.column_names)\n"
    tail = TRL_TAIL.format(
        kind=_kind(file),
        to_turns=mapped if own else "",
        loss="" if shape == "alpaca" else LOSS,
    )
    return TRL_HEAD.format(file=file) + own + tail


def axolotl(shape: Shape, file: str) -> str:
    """The part of an Axolotl config that names the data; paths count from this folder."""
    lines = ["datasets:", f"  - path: {file}", f"    ds_type: {_kind(file)}"]
    if shape == "alpaca":
        lines[:0] = ["# reads instruction, input and output; for system turns and several turns"]
        lines[1:1] = ["# export the shape messages"]
        return "\n".join([*lines, "    type: alpaca", ""])
    role, content, *_ = TAGS[shape]
    lines += [
        "    type: chat_template",
        f"    field_messages: {COLUMN[shape]}",
        "    message_property_mappings:",
        f"      role: {role}",
        f"      content: {content}",
        '    roles_to_train: ["assistant"]',
        "",
    ]
    return "\n".join(lines)


def _kind(file: str) -> str:
    """What Hugging Face's loader calls the file's format."""
    return "parquet" if file.endswith(".parquet") else "json"
