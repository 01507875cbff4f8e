"""Trainer files beside an export: they name what the records have, and load it."""

import json
import sys
import types
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from calls import jsonl

from core import companions, export, pools, runs, trainer_files
from core.domain import RunSpec, Sample, Turn
from core.export import FileKind, Layout
from core.recipe import Recipe
from core.trainer_shapes import Shape, alternates

TALKS = [
    [("user", "a?"), ("assistant", "A."), ("user", "b?"), ("assistant", "B.")],
    [("system", "Be terse."), ("user", "c?"), ("assistant", "C.")],
    [("user", "d?"), ("assistant", "D.")],
    [("user", "f"), ("user", "g?"), ("assistant", "F")],
]
LAYOUTS = [Layout(s, f, extras=True) for s in get_args(Shape) for f in get_args(FileKind)]


def made(tmp_path: Path, layout: Layout, talks: list[Any] = TALKS) -> Path:
    """An export of all of these conversations."""
    records = [{"messages": [{"role": r, "content": c} for r, c in talk]} for talk in talks]
    pools.import_files([jsonl(tmp_path / "pool.jsonl", records)], "pool")
    run = runs.execute(RunSpec("pool", "random", {}, "fake", "cpu")).run
    recipe = Recipe(pool="pool", method="random", run_id=run.run_id, budget="100%")
    export.export(recipe, layout, tmp_path / "out")
    return tmp_path / "out"


def loaded(folder: Path, layout: Layout) -> pd.DataFrame:
    path = folder / f"subset.{layout.file}"
    return pd.read_parquet(path) if layout.file == "parquet" else pd.read_json(path, lines=True)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_dataset_info_names_a_file_and_columns_that_are_there(
    layout: Layout, tmp_path: Path
) -> None:
    folder = made(tmp_path, layout)
    entry = json.loads((folder / "dataset_info.json").read_text("utf8"))[trainer_files.NAME]
    assert (folder / entry["file_name"]).is_file()
    frame = loaded(folder, layout)
    assert set(entry["columns"].values()) <= set(frame.columns)
    if layout.shape == "alpaca":
        assert {"system", "history"} <= set(entry["columns"])
        return
    tags = entry["tags"]
    for talk in frame[entry["columns"]["messages"]]:
        for turn in talk:
            assert set(turn) == {tags["role_tag"], tags["content_tag"]}
            assert turn[tags["role_tag"]] in {v for k, v in tags.items() if k != "content_tag"}


def test_a_column_that_no_record_has_is_not_named(tmp_path: Path) -> None:
    folder = made(tmp_path, Layout(extras=True), TALKS[2:3])
    entry = json.loads((folder / "dataset_info.json").read_text("utf8"))[trainer_files.NAME]
    assert set(entry["columns"]) == {"prompt", "query", "response"}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_axolotl_config_names_the_file_and_its_columns(layout: Layout, tmp_path: Path) -> None:
    folder = made(tmp_path, layout)
    (entry,) = yaml.safe_load((folder / "axolotl.yml").read_text("utf8"))["datasets"]
    assert (folder / entry["path"]).is_file()
    assert entry["ds_type"] == ("parquet" if layout.file == "parquet" else "json")
    if layout.shape == "alpaca":
        assert entry["type"] == "alpaca"
        return
    frame = loaded(folder, layout)
    turn = frame[entry["field_messages"]].iloc[0][0]
    assert set(entry["message_property_mappings"].values()) == set(turn)


class Rows(list):
    """As much of a `datasets.Dataset` as the script asks for."""

    @property
    def column_names(self) -> list[str]:
        return sorted({name for row in self for name in row})

    def map(self, change: Any, remove_columns: list[str]) -> "Rows":
        kept = ({k: v for k, v in row.items() if k not in remove_columns} for row in self)
        return Rows(old | change(row) for old, row in zip(kept, self, strict=True))


def trained_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Rows, dict[str, Any]]:
    """Run the script against stand-ins for two libraries that are not installed here."""
    seen: dict[str, Any] = {}

    def load_dataset(kind: str, data_files: str, split: str) -> Rows:
        assert split == "train"
        if kind == "parquet":
            return Rows(pq.read_table(data_files).to_pylist())
        assert kind == "json"
        rows = [json.loads(line) for line in Path(data_files).read_text("utf8").split("\n")[:-1]]
        return Rows(dict.fromkeys(Rows(rows).column_names) | row for row in rows)

    def trainer(model: str, args: dict[str, Any], train_dataset: Rows) -> Any:
        seen.update(args, model=model, rows=train_dataset)
        return types.SimpleNamespace(train=lambda: seen.update(trained=True))

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    trl = types.SimpleNamespace(SFTConfig=dict, SFTTrainer=trainer)
    monkeypatch.setitem(sys.modules, "trl", trl)
    monkeypatch.setattr(sys, "argv", ["trl_example.py", "a-model"])
    path = folder / "trl_example.py"
    exec(
        compile(path.read_text("utf8"), str(path), "exec"),
        {"__name__": "__main__", "__file__": path},
    )
    assert seen.pop("trained")
    assert seen.pop("model") == "a-model"
    return seen.pop("rows"), seen


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_trl_script_gives_the_trainer_the_kept_conversations(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, args = trained_on(made(tmp_path, layout), monkeypatch)
    talks = [row.get("messages", row.get("prompt")) for row in rows]
    found = []
    for row, talk in zip(rows, talks, strict=True):
        turns = [*talk, *row.get("completion", [])]
        found.append([(t["role"], t["content"]) for t in turns])
    expected = (
        TALKS if layout.shape != "alpaca" else [*TALKS[:3], [("user", "f\n\ng?"), TALKS[3][2]]]
    )
    assert sorted(found) == sorted(expected)
    on_answers = "assistant_only_loss" in args or all("completion" in row for row in rows)
    assert on_answers


def test_conversations_that_a_trainer_skips_are_counted_in_the_card(tmp_path: Path) -> None:
    card = (made(tmp_path, Layout("messages", extras=True)) / companions.CARD).read_text("utf8")
    assert "It skips 1 of them, in which turns do not alternate." in card


@pytest.mark.parametrize(
    ("roles", "expected"),
    [("ua", True), ("sua", True), ("uaua", True), ("uau", False), ("uua", False), ("s", False)],
)
def test_turns_alternate_or_do_not(roles: str, expected: bool) -> None:
    names = {"s": "system", "u": "user", "a": "assistant"}
    turns = tuple(Turn(names[r], "x") for r in roles)  # type: ignore[arg-type]
    assert alternates(Sample(turns, "tests")) is expected
