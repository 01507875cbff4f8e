"""Exports: what a trainer reads, and a manifest from which the same bytes are made again."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import zipfile
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from calls import FAKE, METHOD, PATIENCE_S, jsonl, python, rows, sftlens

from core import companions, config, export, files, pools, runs, store, trainer_shapes
from core.domain import RunSpec, Sample, Turn
from core.errors import ManifestError, PoolError, RunError
from core.export import FileKind, Layout
from core.recipe import Pin, Recipe
from core.replay import replay
from core.rules import Among, Search
from core.rules import Range as Rule
from core.selection import select
from core.store import pools as stored
from core.trainer_shapes import Shape

N_PLAIN = 60
TALKS = [
    {"messages": [{"role": r, "content": c} for r, c in turns]}
    for turns in (
        [("user", "a?"), ("assistant", "A."), ("user", "b?"), ("assistant", "B.")],
        [("system", "Be terse."), ("user", "c?"), ("assistant", "C.")],
        [("user", "d?"), ("assistant", "D."), ("user", "and e?")],
        [("user", "f"), ("user", "g?"), ("assistant", "F"), ("assistant", "G.")],
        [("user", "emoji 👩‍👩‍👧 \0 \u2028 end"), ("assistant", 'שלום\r\n\ttab \\ "quoted"')],
    )
]
RECORDS = [*rows(N_PLAIN), *TALKS]
LAYOUTS = [Layout(s, f) for s in get_args(Shape) for f in get_args(FileKind)]


@pytest.fixture(scope="module")
def scored_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one scored pool, made once; tests get copies of it."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(folder / "cache"))
        pools.import_files([jsonl(folder / "pool.jsonl", RECORDS)], "pool")
        runs.execute(RunSpec("pool", METHOD, {"trim_low": 0.0}, "fake", "cpu"))
    return folder / "cache"


@pytest.fixture
def run_id(scored_cache: Path) -> str:
    """Puts the scored pool into this test's cache, and names its run."""
    shutil.copytree(scored_cache, config.cache_dir())
    with store.connect() as con:
        return str(con.execute("SELECT run_id FROM runs").fetchall()[0][0])


@pytest.fixture
def recipe(run_id: str) -> Recipe:
    return Recipe(pool="pool", method=METHOD, run_id=run_id, budget="40%")


@pytest.fixture
def everything(recipe: Recipe) -> Recipe:
    """Keeps whatever has a score, which is all but the trimmed tail."""
    return recipe.model_copy(update={"budget": "100%"})


def read(folder: Path, side: str, layout: Layout) -> list[dict[str, Any]]:
    """The records of a side, as a trainer's loader reads them."""
    path = folder / f"{side}.{layout.file}"
    if layout.file == "parquet":
        return list(pq.read_table(path).to_pylist())
    return [json.loads(line) for line in path.read_text("utf8").split("\n")[:-1]]


def kept(recipe: Recipe) -> list[Sample]:
    """The chosen samples, in the order of choice."""
    selection = select(recipe)
    ids = [selection.ids[i] for i in selection.subset.chosen]
    with store.connect() as con:
        return stored.read_samples(con, recipe.pool, ids)


def hashes(folder: Path) -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()
    }


def change(folder: Path, *path: str, to: Any) -> Path:
    """Change one field of a manifest."""
    manifest = json.loads((folder / "manifest.json").read_text("utf8"))
    at = manifest
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = to
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf8")
    return folder / "manifest.json"


def turns_of(record: dict[str, Any], shape: Shape) -> list[Turn]:
    """What a trainer makes of a record: the conversation again."""
    if shape == "messages":
        return [Turn(m["role"], m["content"]) for m in record["messages"]]
    if shape == "sharegpt":
        roles = {"human": "user", "gpt": "assistant", "system": "system"}
        return [Turn(roles[m["from"]], m["value"]) for m in record["conversations"]]  # type: ignore
    said = [("system", record["system"])] if record.get("system") else []
    for question, answer in record.get("history") or []:
        said += [("user", question), ("assistant", answer)]
    asked = "\n\n".join(part for part in (record["instruction"], record["input"]) if part)
    return [Turn(r, c) for r, c in [*said, ("user", asked), ("assistant", record["output"])]]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_trainer_reads_the_kept_conversations_in_the_order_of_choice(
    layout: Layout, everything: Recipe, tmp_path: Path
) -> None:
    made = export.export(everything, layout, tmp_path / "out")
    expected = kept(everything)
    found = read(tmp_path / "out", "subset", layout)
    assert len(found) == len(expected) == made["counts"]["samples"]
    faithful = layout.shape != "alpaca"
    for record, sample in zip(found, expected, strict=True):
        alternates = len(sample.turns) % 2 == 0 and sample.turns[-1].role == "assistant"
        if faithful or (alternates and sample.turns[1].role == "assistant"):
            assert turns_of(record, layout.shape) == list(sample.turns)
    assert made["files"].keys() == {f"subset.{layout.file}"}


def test_alpaca_splits_the_input_off_again_exactly(everything: Recipe, tmp_path: Path) -> None:
    export.export(everything, Layout(), tmp_path / "out")
    plain = {(r["instruction"], r["input"], r["output"]) for r in rows(N_PLAIN)}
    found = read(tmp_path / "out", "subset", Layout())
    triples = {(r["instruction"], r["input"], r["output"]) for r in found if "history" not in r}
    assert len(triples & plain) >= 0.8 * N_PLAIN
    assert {t for t in triples if t[0].startswith("Count")} <= plain
    assert any(t[1] for t in triples)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (TALKS[0], {"instruction": "b?", "input": "", "output": "B.", "history": [["a?", "A."]]}),
        (TALKS[1], {"instruction": "c?", "input": "", "output": "C.", "system": "Be terse."}),
        (TALKS[2], {"instruction": "d?", "input": "", "output": "D."}),
        (TALKS[3], {"instruction": "f\n\ng?", "input": "", "output": "F\n\nG."}),
    ],
)
def test_alpaca_keeps_system_and_history_and_joins_neighbours(
    turns: dict[str, Any], expected: dict[str, Any]
) -> None:
    sample = Sample(tuple(Turn(m["role"], m["content"]) for m in turns["messages"]), "tests")
    assert trainer_shapes.to_alpaca(sample) == expected
    assert trainer_shapes.loses_turn(sample, "alpaca") == (turns is TALKS[2])
    assert not trainer_shapes.loses_turn(sample, "messages")


@pytest.mark.parametrize(("instruction", "extra"), [("a", "b"), ("a\n\nb", "b"), ("\n\nb", "b")])
def test_only_the_input_is_split_off(instruction: str, extra: str) -> None:
    asked = Turn("user", f"{instruction}\n\n{extra}")
    record = trainer_shapes.to_alpaca(Sample((asked, Turn("assistant", "c")), "tests", extra))
    assert (record["instruction"], record["input"]) == (instruction, extra)


def test_a_turn_that_alpaca_cannot_hold_is_counted(everything: Recipe, tmp_path: Path) -> None:
    lost = sum(trainer_shapes.loses_turn(s, "alpaca") for s in kept(everything))
    notes = export.export(everything, Layout(), tmp_path / "out")["notes"]
    assert notes == ({"user turn after the last answer left out": lost} if lost else {})
    assert export.export(everything, Layout("messages"), tmp_path / "chat")["notes"] == {}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_kept_and_rejected_are_the_pool_each_with_its_reason(
    layout: Layout, recipe: Recipe, tmp_path: Path
) -> None:
    layout = Layout(layout.shape, layout.file, scores=True, rejected=True)
    made = export.export(recipe, layout, tmp_path / "out")
    subset, rejected = (read(tmp_path / "out", side, layout) for side in ("subset", "rejected"))
    ids = [r["sftlens_id"] for r in [*subset, *rejected]]
    assert len(ids) == len(RECORDS) == sum(made["counts"]["by_reason"].values())
    with store.connect() as con:
        assert sorted(ids) == sorted(stored.get_pool(con, "pool").sample_ids)
        in_order = [i for i in stored.get_pool(con, "pool").sample_ids if i in ids[len(subset) :]]
    assert ids[len(subset) :] == in_order  # the rejected stand in pool order
    assert {r["sftlens_reason"] for r in subset} == {"kept"}
    assert all(r["sftlens_reason"].startswith(("budget: ", "not scored: ")) for r in rejected)
    scores = [r["sftlens_score"] for r in subset]
    assert scores == sorted(scores, reverse=True)
    for record in rejected:
        assert (record["sftlens_score"] is None) == record["sftlens_reason"].startswith("not sc")


def test_without_scores_a_record_has_nothing_of_ours(recipe: Recipe, tmp_path: Path) -> None:
    export.export(recipe, Layout(), tmp_path / "out")
    names = {name for record in read(tmp_path / "out", "subset", Layout()) for name in record}
    assert names <= {"instruction", "input", "output", "system", "history"}


def test_an_empty_subset_is_an_empty_file_that_can_be_read(recipe: Recipe, tmp_path: Path) -> None:
    nothing = recipe.model_copy(update={"rules": (Rule(column="n_tokens", low=1e9),)})
    for layout in LAYOUTS:
        out = tmp_path / f"{layout.shape}-{layout.file}"
        assert export.export(nothing, layout, out)["counts"]["samples"] == 0
        assert read(out, "subset", layout) == []


def test_chunks_change_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.export(recipe, Layout(rejected=True), tmp_path / "a")
    monkeypatch.setattr(export, "CHUNK", 7)
    export.export(recipe, Layout(rejected=True), tmp_path / "b")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    layout = Layout("messages", "parquet")
    export.export(recipe, layout, tmp_path / "c")
    assert [turns_of(r, "messages") for r in read(tmp_path / "c", "subset", layout)] == [
        list(s.turns) for s in kept(recipe)
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_exporting_twice_gives_the_same_files_and_manifest(
    layout: Layout, recipe: Recipe, tmp_path: Path
) -> None:
    layout = Layout(layout.shape, layout.file, scores=True, rejected=True)
    export.export(recipe, layout, tmp_path / "a")
    export.export(recipe, layout, tmp_path / "b")
    before = hashes(tmp_path / "a")
    assert before == hashes(tmp_path / "b")
    assert len(before) == 3
    export.export(recipe, layout, tmp_path / "a")  # over itself
    assert before == hashes(tmp_path / "a")


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_replay_in_another_folder_is_identical(
    layout: Layout, recipe: Recipe, tmp_path: Path
) -> None:
    layout = Layout(layout.shape, layout.file, rejected=True)
    export.export(recipe, layout, tmp_path / "out")
    made = replay(tmp_path / "out" / "manifest.json", tmp_path / "elsewhere")
    assert made.differences == ()
    assert hashes(tmp_path / "elsewhere") == hashes(tmp_path / "out")


def test_a_replay_needs_no_more_than_manifest_and_store(recipe: Recipe, tmp_path: Path) -> None:
    params = {"trim_low": 0.2, "ties": "nll_drop"}  # live knobs, stored nowhere but here
    made = recipe.model_copy(
        update={"params": params, "rules": (Rule(column="nll_drop", low=-0.1),)}
    )
    export.export(made, Layout(), tmp_path / "out")
    alone = tmp_path / "alone" / "manifest.json"
    alone.parent.mkdir()
    (tmp_path / "out" / "manifest.json").rename(alone)
    done = sftlens("replay", alone)
    assert done.stdout == f"identical: subset.jsonl in {alone.parent / 'replay'}\n", done.stderr
    assert sftlens("replay", alone).returncode == 0  # and again, over its own files


def test_a_run_speaks_of_its_first_samples_when_the_pool_has_grown(
    recipe: Recipe, tmp_path: Path
) -> None:
    layout = Layout(scores=True, rejected=True)
    export.export(recipe, layout, tmp_path / "out")
    pools.import_files([jsonl(tmp_path / "more.jsonl", rows(30, 1000))], "pool")
    runs.execute(RunSpec("pool", METHOD, {}, "fake", "cpu"))
    made = replay(tmp_path / "out" / "manifest.json")
    assert made.differences == ()
    assert made.folder == tmp_path / "out" / "replay"
    assert len(read(made.folder, "rejected", layout)) + len(
        read(made.folder, "subset", layout)
    ) == len(RECORDS)


def test_a_policy_with_its_parameters_seed_and_notes_is_in_the_manifest_and_replayed(
    recipe: Recipe, tmp_path: Path
) -> None:
    drawn = {"policy": "random", "policy_params": {"seed": 7}}
    made = export.export(recipe.model_copy(update=drawn), Layout(), tmp_path / "out")
    assert made["recipe"] | drawn == made["recipe"]
    assert made["seeds"]["policy_seed"] == 7
    assert made["policy_notes"] == []
    assert replay(tmp_path / "out" / "manifest.json").differences == ()
    other = drawn | {"policy_params": {"seed": 8}}
    again = export.export(recipe.model_copy(update=other), Layout(), tmp_path / "other")
    assert again["files"] != made["files"]
    assert again["recipe_key"] != made["recipe_key"]


def test_a_manifest_from_before_policies_had_parameters_is_replayed(
    recipe: Recipe, tmp_path: Path
) -> None:
    made = export.export(recipe, Layout(), tmp_path / "out")
    assert "policy_params" not in made["recipe"]  # as before there were any
    del made["policy_notes"]
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(made), "utf8")
    assert replay(tmp_path / "out" / "manifest.json").differences == ()


def test_the_command_line_of_a_recipe_writes_the_same_files(recipe: Recipe, tmp_path: Path) -> None:
    made = recipe.model_copy(update={"policy": "trim", "policy_params": {"high": 0.25}})
    export.export(made, Layout(), tmp_path / "out")
    words = shlex.split(export.command(made, Layout(), str(tmp_path / "typed")))
    done = sftlens(*words[1:])
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "typed") == hashes(tmp_path / "out")


def test_a_tampered_manifest_says_what_differs(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export.export(recipe, Layout(), out)
    original = (out / "manifest.json").read_text("utf8")

    def differences(*path: str, to: Any) -> str:
        (out / "manifest.json").write_text(original, "utf8")
        manifest = change(out, *path, to=to)
        return "; ".join(replay(manifest, tmp_path / f"{path} {to}").differences)

    assert "subset.jsonl: 6 rows, 26 expected; SHA-256" in differences("recipe", "budget", to="10%")
    assert ", not 000000000000" in differences("files", "subset.jsonl", "sha256", to="0" * 64)
    assert "fingerprint" in differences("pool", "fingerprint", to="0" * 20)
    assert "rejected.jsonl: not in the manifest" in differences("layout", "rejected", to=True)
    told = differences("layout", "file", to="parquet")
    assert "subset.jsonl: not made" in told
    assert "subset.parquet: not in the manifest" in told
    (out / "manifest.json").write_text(original, "utf8")
    change(out, "versions", to={"pyarrow": "0.1"})
    assert replay(out / "manifest.json").differences == ()  # the same bytes: no reason to worry
    told = "; ".join(replay(change(out, "recipe", "budget", to="3")).differences)
    assert "pyarrow: 0.1 then, " in told
    assert "python: None then, " in told


@pytest.mark.parametrize(
    ("path", "to", "told"),
    [
        (("layout", "shape"), "csv", "its field layout.shape is wrong"),
        (("layout", "file"), "csv", "its field layout.file is wrong"),
        (("layout",), [], "its field layout is wrong"),
        (("files",), 3, "its field files is wrong"),
        (("files", "subset.jsonl"), {}, "its field files.subset.jsonl.rows is wrong"),
        (("pool",), "p", "its field pool is wrong"),
        (("recipe", "nope"), 1, "its field recipe.nope is wrong"),
        (("manifest",), 99, "is not a manifest I can read. Got 99"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_which_field(
    path: tuple[str, ...], to: Any, told: str, recipe: Recipe, tmp_path: Path
) -> None:
    export.export(recipe, Layout(), tmp_path / "out")
    with pytest.raises(ManifestError, match=told):
        replay(change(tmp_path / "out", *path, to=to))
    assert not (tmp_path / "out" / "replay").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"manifest": 1}', "\udcff"])
def test_what_is_no_manifest_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(content.encode("utf8", "surrogateescape"))
    with pytest.raises(ManifestError, match=r"Give the manifest.json that an export wrote"):
        replay(tmp_path / "m.json")


def test_a_replay_without_its_run_or_pool_says_which(recipe: Recipe, tmp_path: Path) -> None:
    export.export(recipe, Layout(), tmp_path / "out")
    manifest = change(tmp_path / "out", "recipe", "run_id", to="0" * 20)
    with pytest.raises(RunError, match=r"this run is not in the store. Score it again"):
        replay(manifest)
    change(tmp_path / "out", "recipe", "pool", to="gone")
    with pytest.raises(PoolError, match="gone: there is no pool by this name"):
        replay(manifest)


def test_a_replay_never_writes_over_what_it_is_compared_with(
    recipe: Recipe, tmp_path: Path
) -> None:
    export.export(recipe, Layout(), tmp_path / "out")
    before = hashes(tmp_path / "out")
    with pytest.raises(ManifestError, match="Give another folder"):
        replay(tmp_path / "out" / "manifest.json", tmp_path / "out" / ".." / "out")
    assert hashes(tmp_path / "out") == before


@pytest.mark.parametrize("there", ["notes.txt", "subset.jsonl", "rejected.jsonl", "folder/x"])
@pytest.mark.parametrize("after_an_export", [False, True])
def test_a_folder_with_other_files_is_refused_and_left_alone(
    there: str, after_an_export: bool, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if after_an_export:
        export.export(recipe, Layout(), out)
    (out / there).parent.mkdir(parents=True, exist_ok=True)
    (out / there).write_text("mine")
    before = hashes(out)
    if after_an_export and there == "subset.jsonl":
        export.export(recipe, Layout(), out)  # it is its own
        return
    with pytest.raises(ManifestError, match=r"holds other files.*Give a new or empty folder"):
        export.export(recipe, Layout(), out)
    assert hashes(out) == before


def test_another_layout_needs_another_folder(recipe: Recipe, tmp_path: Path) -> None:
    """Else the files of both would lie beside a manifest that knows half of them."""
    export.export(recipe, Layout(rejected=True), tmp_path / "out")
    before = hashes(tmp_path / "out")
    for layout in (Layout(), Layout(file="parquet", rejected=True)):
        with pytest.raises(ManifestError, match="holds other files"):
            export.export(recipe, layout, tmp_path / "out")
    assert hashes(tmp_path / "out") == before


KILLED = """
import json, os, signal, sys
from pathlib import Path
from core import export
from core.recipe import Pin, Recipe

written, write = [], export._write
def dies(path, records, layout):
    write(path, records, layout)
    written.append(path)
    if len(written) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
export._write = dies
layout = export.Layout(scores=True, rejected=True)
export.export(Recipe.load(json.loads(sys.argv[1])), layout, Path(sys.argv[3]))
"""


@pytest.fixture(params=[1, 2])
def killed_export(request: pytest.FixtureRequest, recipe: Recipe, tmp_path: Path) -> Path:
    """A folder in which an export was killed after its first, or its second file."""
    out = tmp_path / "out"
    text = json.dumps(recipe.model_dump(mode="json"))
    process = python("-c", KILLED, text, str(request.param), str(out))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL, err
    return out


def test_a_killed_export_leaves_no_file_under_its_final_name_and_can_be_repeated(
    killed_export: Path, recipe: Recipe
) -> None:
    assert [name for name in os.listdir(killed_export) if not name.startswith(".")] == []
    layout = Layout(scores=True, rejected=True)
    made = export.export(recipe, layout, killed_export)
    assert {n: f["sha256"] for n, f in made["files"].items()}.items() <= hashes(
        killed_export
    ).items()


def test_the_command_line_of_an_export_writes_the_same_bytes(
    recipe: Recipe, tmp_path: Path
) -> None:
    import shlex

    made = recipe.model_copy(
        update={
            "params": {"trim_high": 0.25, "exclude_warm_up": True},
            "rules": (Rule(column="nll_drop", low=-0.3, high=0.7), Rule(column="n_tokens", low=2)),
            "budget": "50% tokens",
        }
    )
    layout = Layout("sharegpt", "parquet", scores=True, rejected=True)
    export.export(made, layout, tmp_path / "a")
    words = shlex.split(export.command(made, layout, str(tmp_path / "b")))
    done = sftlens(*words[1:])
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_the_manifest_says_openly_what_made_the_scores(recipe: Recipe, tmp_path: Path) -> None:
    made = export.export(recipe, Layout(), tmp_path / "out")
    assert made["run"]["card"]["base"]["name"] == FAKE[1] == "fake"
    assert made["seeds"] == {"seed": 42}
    assert made == json.loads((tmp_path / "out" / "manifest.json").read_text("utf8"))
    assert str(tmp_path) not in json.dumps(made)
    assert made["files"]["subset.jsonl"]["bytes"] == (tmp_path / "out/subset.jsonl").stat().st_size
    kept_tokens = made["counts"]["response_tokens"]
    assert kept_tokens == sum(len(s.response.split()) + 1 for s in kept(recipe))


def test_a_preview_is_the_beginning_of_the_file(recipe: Recipe, tmp_path: Path) -> None:
    layout = Layout("messages", scores=True)
    export.export(recipe, layout, tmp_path / "out")
    assert export.preview(select(recipe), layout, 4) == read(tmp_path / "out", "subset", layout)[:4]


def test_a_recipe_with_more_than_options_can_say_is_given_whole(
    recipe: Recipe, tmp_path: Path
) -> None:
    ids = select(recipe).ids
    more = recipe.model_copy(
        update={
            "rules": (Search(text="1", keep=False), Among(column="source", values=("s0",))),
            "pins": (Pin(sample_id=ids[0], keep=True), Pin(sample_id=ids[1], keep=False)),
            "quotas": {"s0": 3},
        }
    )
    layout = export.Layout("messages")
    made = export.export(more, layout, tmp_path / "app")
    words = shlex.split(export.command(more, layout, str(tmp_path / "line")))
    done = sftlens(*words[1:])
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "line" / "manifest.json").read_text("utf8"))
    assert again["files"] == made["files"]
    assert again["recipe_key"] == made["recipe_key"]
    assert replay(tmp_path / "app" / "manifest.json").differences == ()


def test_extras_are_in_the_manifest_and_are_made_again(recipe: Recipe, tmp_path: Path) -> None:
    layout = Layout("messages", scores=True, rejected=True, extras=True)
    made = export.export(recipe, layout, tmp_path / "out")
    assert {*companions.NAMES, "subset.jsonl", "rejected.jsonl"} == set(made["files"])
    for name, facts in made["files"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert facts["bytes"] == len(content)
        assert facts["sha256"] == hashlib.sha256(content).hexdigest()
        assert facts["rows"] == content.count(b"\n")
    again = replay(tmp_path / "out" / "manifest.json", tmp_path / "again")
    assert again.differences == ()
    assert hashes(tmp_path / "again") == hashes(tmp_path / "out")
    change(tmp_path / "out", "files", "report.html", "sha256", to="0" * 64)
    told = "; ".join(replay(tmp_path / "out" / "manifest.json").differences)
    assert told.startswith("report.html: ")


def test_a_manifest_from_before_there_were_extras_is_replayed_without_them(
    recipe: Recipe, tmp_path: Path
) -> None:
    made = export.export(recipe, Layout(), tmp_path / "out")
    del made["layout"]["extras"]
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(made), "utf8")
    again = replay(tmp_path / "out" / "manifest.json")
    assert again.differences == ()
    assert again.files == ("subset.jsonl",)


def test_the_command_line_of_an_export_with_extras_writes_the_same_bytes(
    recipe: Recipe, tmp_path: Path
) -> None:
    layout = Layout("sharegpt", "parquet", extras=True)
    pins = (Pin(sample_id=select(recipe).ids[0], keep=True),)  # more than options can spell
    pinned = recipe.model_copy(update={"pins": pins})
    export.export(pinned, layout, tmp_path / "a")
    words = shlex.split(export.command(pinned, layout, str(tmp_path / "b")))
    done = sftlens(*words[1:])
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_an_archive_holds_the_files_and_knows_no_clock(recipe: Recipe, tmp_path: Path) -> None:
    names = [*export.export(recipe, Layout(extras=True), tmp_path / "out")["files"]]
    first = files.zipped(tmp_path / "out", names).read_bytes()
    for name in names:
        os.utime(tmp_path / "out" / name, (1, 1))
    made = files.zipped(tmp_path / "out", names)
    assert made.read_bytes() == first
    with zipfile.ZipFile(made) as archive:
        assert archive.namelist() == names
        for name in names:
            assert archive.read(name) == (tmp_path / "out" / name).read_bytes()
    export.export(recipe, Layout(extras=True), tmp_path / "out")  # the archive is in nobody's way


def test_an_export_killed_while_its_files_get_their_names_can_be_repeated(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = export.export(recipe, Layout(rejected=True), tmp_path / "whole")
    names, replace = count(1), os.replace

    def second_fails(source: Path, target: Path) -> None:
        if next(names) == 2:
            raise OSError(5, "killed")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("core.files.os.replace", second_fails)
        with pytest.raises(ManifestError, match="killed"):
            export.export(recipe, Layout(rejected=True), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == 1
    assert export.export(recipe, Layout(rejected=True), tmp_path / "out") == whole
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
