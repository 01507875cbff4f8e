"""The security of data, each test an attack: on the page, in files, through models, in SQL."""

import ast
import csv
import io
import json
import os
import pickle
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from calls import FAKE, METHOD, jsonl, rows, sftlens
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest
from test_input_documents import ACTS, SPAN, opened
from test_store_maps import ID, row, small_map
from tiny import byte_bpe, save_model

from core import (
    compiled,
    config,
    export,
    external,
    models,
    pools,
    replay,
    runs,
    selection,
    store,
    templates,
)
from core.blocks import UNREADABLE
from core.comparison import Gap
from core.domain import RunSpec, Sample, Turn
from core.engines.hardware import choose
from core.engines.hf import HFEngine
from core.errors import BudgetError, ModelError, PoolError, RunError, SFTLensError
from core.models import Checkpoint
from core.recipe import Recipe
from core.rules import Among, Range, Search
from core.store import facets, predicates, recipes, reviews, standing, views
from core.store import maps as stored_maps
from core.store import runs as stored
from core.store.reviews import Review
from core.verdicts import begins_formula, guarded
from pages.ui import charts, sheets
from pages.ui.charts import bars, compare, gradients
from pages.ui.data_audit import as_csv
from pages.ui.navigation import ENTRIES
from pages.ui.prose import JOINER, code, command, sentence

ROOT = config.ROOT
IMAGE = "![x](https:evil.example/x.png)"
NAME = "![x](https:evil.example) :red[`y`]"  # may be the name of a pool
EVIL = (
    f"{IMAGE} <img src=x onerror=alert(1)><script>alert(2)</script>"
    " [go](javascript:alert(3)) http://evil.example www.evil.example :material/delete: $x$"
)
FORMULAS = (
    *("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1"),
    *("|calc", "\uff1d1+1", "\ufeff=1+1", "\u3000=1+1", "\xa0@SUM(A1)", "\ufe661+1", "\u22121"),
    *("a;=1+1;b", "a; -2+3", "a\n=1+1", "a\t@SUM(A1)", "a\r\n +1"),  # a cell that is cut off
)


# the page


def hostile_pool(folder: Path) -> pools.Pool:
    """A pool whose every text attacks, with a run, a map, a review and a saved recipe."""
    talks = [
        {
            "instruction": f"{EVIL} {k}",
            "output": f"{EVIL}\n\n# {IMAGE}\n\n```{IMAGE}\nx\n```\n" + "word " * (k % 7),
            "source": f"{EVIL} {k % 3}",
            "meta": EVIL,
            EVIL: EVIL,
        }
        for k in range(30)
    ]
    _, pool = pools.import_files([jsonl(folder / "pool.jsonl", talks)], NAME)
    aims = [{"instruction": f"{EVIL} {k}", "output": f"{EVIL} {k}"} for k in range(3)]
    pools.import_files([jsonl(folder / "query.jsonl", aims)], "aims", "query")
    spec = RunSpec(NAME, "", model="fake", device="cpu", query="aims")
    found = [finished.run for finished in runs.execute_all(spec)]
    run = next(run for run in found if run.method == METHOD)
    about = replace(row(ID, NAME, 30), labels=(EVIL, EVIL), note=EVIL)
    with store.connect(write=True) as con:
        stored_maps.add_map(con, about, pool.sample_ids, small_map(30))
        for sample_id in pool.sample_ids[:3]:
            reviews.add(con, Review(NAME, sample_id, EVIL, "bad", EVIL))
        recipe = Recipe(pool=NAME, method=METHOD, run_id=run.run_id, budget="50%")
        recipes.save(con, NAME, recipe, EVIL, EVIL)
    return pool


MARKDOWN = {"body", "label", "help", "text", "title", "content", "caption", "captions", "tooltip"}
SHOWN_AS_IT_IS = ("text", "code", "json", "arrow_data_frame")


def texts_of(message: Message) -> Iterator[str]:
    """Every text of a message that a page reads as markdown."""
    for field, value in message.ListFields():
        some = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for each in some:
            if isinstance(each, Message):
                yield from texts_of(each)
            elif isinstance(each, str) and field.name in MARKDOWN:
                yield each


def figures(page: AppTest) -> list[dict[str, Any]]:
    """Every Plotly chart of a page."""
    drawn = [e.proto for e in page.get("plotly_chart")]
    return [json.loads(chart.spec or chart.figure.spec) for chart in drawn]


@pytest.mark.attack(line="html")
def test_no_text_of_a_pool_acts_on_any_page(tmp_path: Path) -> None:
    pool, charts_seen = hostile_pool(tmp_path), 0
    for entry in ENTRIES:
        page = opened(entry.script, sample=pool.sample_ids[4])  # nothing in it acts
        for figure in figures(page):
            charts_seen += 1
            assert [text for text in strings(figure) if MARKUP.search(text)] == [], entry.script
        for element in (*page.main, *page.sidebar):
            if element.type not in SHOWN_AS_IT_IS and isinstance(element.proto, Message):
                said = [SPAN.sub("", text).replace("\\", "") for text in texts_of(element.proto)]
                assert [text for text in said if ACTS.search(text)] == [], entry.script
        for frame in page.dataframe:
            texts = [cell for cell in frame.value.to_numpy().ravel() if isinstance(cell, str)]
            assert [text for text in texts if begins_formula(text)] == [], entry.script
    assert charts_seen > 12


@pytest.mark.attack(line="html")
def test_the_code_renders_no_html_of_anybody() -> None:
    """Only constants are HTML, and scripts set nothing but text."""
    python = [*(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
    scripts = [*(ROOT / "pages").rglob("*.js"), *(ROOT / "pages").rglob("*.html")]
    said = {p: p.read_text("utf8") for p in [*python, *scripts]}
    assert len(scripts) > 5
    unsafe = re.compile(
        r"unsafe_allow_html\s*=\s*True|unsafe_allow_javascript|components\.v1|st\.iframe|"
        r"\.innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(|srcdoc"
    )
    assert [p.name for p, text in said.items() if unsafe.search(text)] == []
    html = [m for text in said.values() for m in re.findall(r"st\.html\(([^)]*)\)", text)]
    assert html == ["BIG"]  # a style sheet, a constant


MARKUP = re.compile(r"<(?!br>|extra>|/extra>|b>|/b>)[a-z/!]", re.IGNORECASE)


def strings(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.attack(line="html")
def test_no_name_is_markup_on_a_chart() -> None:
    two = np.array([0.1, 0.2])
    names = [EVIL, "</text><script>alert(1)</script>"]
    drawn: list[go.Figure | None] = [
        bars.shares(names, [1, 2], [3, 4], [(1, 1), (1, 1)], charts.LIGHT),
        compare.shift(names, Gap(two, two, two), ["a", "b"], charts.LIGHT),
        gradients.coverage(
            np.eye(2),
            np.eye(2, dtype=np.int64),
            names,
            names,
            np.array([True, False]),
            "nearest",
            charts.LIGHT,
        ),
    ]
    for figure in drawn:
        assert figure is not None
        said = strings(json.loads(figure.to_json()))
        assert any("evil" in text or "onerror" in text or "&lt;" in text for text in said)
        assert [text for text in said if MARKUP.search(text)] == []


@pytest.mark.attack(line="html")
def test_an_error_that_repeats_markup_is_words() -> None:
    told = sentence(PoolError(NAME, "is wrong", got=EVIL, do=IMAGE))
    assert f"]{JOINER}(" in told
    assert "](" not in told
    assert "\n" not in told


@pytest.mark.parametrize("name", ["a; rm -rf ~", "$(id)", "`id`", "a'b\"c", "a b"])
def test_a_command_that_is_offered_for_copying_is_one_word_for_a_name(name: str) -> None:
    assert shlex.split(command("sftlens", "map", name)) == ["sftlens", "map", name]
    assert shlex.split(stored.how(name, "random")) == ["sftlens", "score", name, "random"]
    fence = code(name)
    inside = fence.strip("`")
    assert max(map(len, re.findall("`+", inside)), default=0) < len(fence) - len(fence.lstrip("`"))


# spreadsheets


@pytest.mark.attack(line="formulas")
@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_in_a_table_that_is_downloaded(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[pd.DataFrame] = []
    monkeypatch.setattr(sheets.st, "dataframe", lambda frame, **_: shown.append(frame))
    sheets.sheet({"preview": [text, "plain", None], "score": [-0.5, 1.0, 2.0]})
    assert shown[0]["preview"].tolist()[0].replace(JOINER, "") == text
    assert shown[0]["preview"].tolist()[1] == "plain"
    assert begins_formula(text)
    assert shown[0]["score"].tolist() == [-0.5, 1.0, 2.0]  # numbers stay numbers
    assert not begins_formula(shown[0]["preview"].tolist()[0])
    assert not begins_formula(guarded(text))


@pytest.mark.attack(line="formulas")
def test_every_table_of_the_app_is_guarded() -> None:
    for path in (ROOT / "pages").rglob("*.py"):
        text = path.read_text("utf8")
        assert path.name == "sheets.py" or not re.search(
            r"st\.(dataframe|table|data_editor)\(", text
        ), path
        assert path.name == "data_audit.py" or "to_csv" not in text, path


@pytest.mark.attack(line="formulas")
def test_verdicts_as_csv_hold_no_formula(tmp_path: Path) -> None:
    _, pool = pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(20))], "toy")
    with store.connect(write=True) as con:
        for sample_id, text in zip(pool.sample_ids, FORMULAS, strict=False):
            reviews.add(con, Review("toy", sample_id, f"={text}", "bad", f'{text}","=1', text))
    table = list(csv.reader(io.StringIO(as_csv("toy", {}).decode())))
    assert len(table) == len(FORMULAS) + 1
    assert [cell for line in table for cell in line if begins_formula(cell)] == []


@pytest.mark.attack(line="formulas")
def test_exports_for_trainers_keep_every_byte_of_a_formula(tmp_path: Path) -> None:
    talks = [{"instruction": f, "output": f"{f} {k}"} for k, f in enumerate(FORMULAS)]
    pools.import_files([jsonl(tmp_path / "pool.jsonl", talks)], "toy")
    run = runs.execute(RunSpec("toy", METHOD, {"trim_low": 0, "trim_high": 0}, "fake", "cpu")).run
    recipe = Recipe(pool="toy", method=METHOD, run_id=run.run_id, budget="100%")
    export.export(recipe, export.Layout(), tmp_path / "lines")
    lines = (tmp_path / "lines" / "subset.jsonl").read_text("utf8").split("\n")[:-1]
    export.export(recipe, export.Layout(file="parquet"), tmp_path / "table")
    table = pq.read_table(tmp_path / "table" / "subset.parquet").to_pylist()
    for found in ([json.loads(line) for line in lines], table):
        pairs = sorted((r["instruction"], r["output"]) for r in found)
        assert pairs == sorted((t["instruction"], t["output"]) for t in talks)
    assert replay.replay(tmp_path / "lines" / "manifest.json").differences == ()
    back = [pools.import_files([tmp_path / "lines" / "subset.jsonl"], "again")[1]]
    back += [pools.import_files([tmp_path / "table" / "subset.parquet"], "once more")[1]]
    with store.connect() as con:
        first = store.pools.get_pool(con, "toy")
    assert all(set(pool.sample_ids) == set(first.sample_ids) for pool in back)


@pytest.mark.attack(line="formulas")
@pytest.mark.parametrize("mark", [";", "\t", "\n", "\r\n"])
@pytest.mark.parametrize("text", [";=1+1;", "\n=1+1", 'x"\t=1+1', "a;\u3000\uff1d1", '";=1;"'])
def test_no_cell_is_a_formula_to_a_spreadsheet_that_parts_cells_elsewhere(
    text: str, mark: str, tmp_path: Path
) -> None:
    """Where a semicolon parts cells, the quotes of a file with commas do not hold a text."""
    _, pool = pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(3))], "toy")
    with store.connect(write=True) as con:
        reviews.add(con, Review("toy", pool.sample_ids[0], "eve", "bad", f"x{mark}{text}"))
    content = as_csv("toy", {}).decode()
    cells = re.split(r"[;\t\r\n]", content)
    assert [cell for cell in cells if begins_formula(cell)] == []
    assert [cell for cell in cells if begins_formula(cell.lstrip('"'))] == []


# models


FORBIDDEN = re.compile(
    r"^\s*(?:import|from)\s+(?:pickle|cPickle|cloudpickle|dill|joblib|marshal|shelve)\b"
    r"|torch\.load\(|torch\.save\(|joblib\.|(?:cloud)?pickle\.|read_pickle|to_pickle"
    r"|allow_pickle\s*=\s*True|yaml\.load|yaml\.unsafe|weights_only\s*=\s*False"
    r"|trust_remote_code['\"]?\s*[=:]\s*True|(?<![\w.])(?:eval|exec)\(|__import__\("
    r"|shell\s*=\s*True|os\.(?:system|popen)\(|persist\s*=\s*['\"]disk|PyExtensionType"
    r"|torch\.hub\.|jit\.load\(|jinja2\.(?:Template|Environment)\b",
    re.MULTILINE,
)


@pytest.mark.attack(line="pickle")
def test_nothing_is_unpickled_evaluated_or_trusted_anywhere() -> None:
    places = [*(ROOT / "core").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
    places += (ROOT / "benchmarks").rglob("*.py")
    assert len(places) > 200
    found = {str(p): FORBIDDEN.findall(p.read_text("utf8")) for p in places}
    assert {name: hits for name, hits in found.items() if hits} == {}
    assert not [p for p in ROOT.rglob("*") if p.suffix in (".pkl", ".pickle", ".joblib", ".pt")]
    for wrong in ("import pickle", "torch.load(x)", "np.load(x, allow_pickle=True)", "eval(x)"):
        assert FORBIDDEN.search(wrong)


@pytest.mark.attack(line="pickle")
def test_every_array_that_is_loaded_refuses_pickles() -> None:
    for path in (ROOT / "core").rglob("*.py"):
        for call in re.findall(r"np\.load\([^)]*\)", path.read_text("utf8")):
            assert "allow_pickle=False" in call, path


class Payload:
    """What is unpickled into a file that tells of it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Is there as soon as an attack's code has run."""
    return tmp_path / "it-ran"


@pytest.mark.attack(line="pickle")
def test_a_part_on_disk_that_holds_a_pickle_is_measured_anew(tmp_path: Path, trace: Path) -> None:
    pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(12))], "toy")
    first = runs.execute(RunSpec("toy", METHOD, model="fake", device="cpu")).run
    with store.connect() as con:
        value = stored.run_value(con, first.run_id)
    parts = sorted((config.cache_dir() / "blocks").rglob("part-*.npz"))
    assert parts
    for path in parts:
        with np.load(path) as archive:
            held = dict(archive)
        name = next(k for k in held if k != "ids")
        poison = np.array([Payload(trace)] * len(held["ids"]), dtype=object)
        np.savez(path, **held | {name: poison})
        with pytest.raises(UNREADABLE), np.load(path, allow_pickle=False) as archive:
            _ = archive[name]
    spec = RunSpec("toy", METHOD, {"trim_low": 0.05}, "fake", "cpu")  # another run, the same parts
    again = runs.execute(spec).run
    assert again.run_id != first.run_id
    with store.connect() as con:
        np.testing.assert_array_equal(
            stored.run_columns(con, again.run_id)["nll_drop"],
            stored.run_columns(con, first.run_id)["nll_drop"],
        )
    assert len(value) == 12
    assert not trace.exists()


@pytest.mark.attack(line="pickle")
def test_a_parquet_file_whose_type_is_a_pickle_is_read_without_it(
    tmp_path: Path, trace: Path
) -> None:
    kind = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Payload(trace)),
    }
    fields = [pa.field(name, pa.string(), metadata=kind) for name in ("instruction", "output")]
    path = tmp_path / "pool.parquet"
    pq.write_table(pa.table([["a", "b"], ["c", "d"]], schema=pa.schema(fields)), path)
    with suppress(SFTLensError):
        pools.import_files([path], "toy")
    assert not trace.exists()


@pytest.mark.attack(line="pickle")
def test_what_is_compiled_is_kept_where_nobody_else_can_plant_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """numba keeps an index as a pickle: who could write there could run code."""
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    folder = config.folder("numba")
    folder.chmod(0o777)
    compiled.prepare()
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        monkeypatch.delenv("NUMBA_CACHE_DIR")
        os.chown(folder, 12345, 12345)
        compiled.prepare()
        assert "NUMBA_CACHE_DIR" not in os.environ


def model(folder: Path) -> Path:
    save_model(folder, byte_bpe())
    return folder


def written(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text, "utf8")


def changed(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf8")) | fields), "utf8")


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        models.resolve(str(folder))
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.attack(line="pickle")
def test_a_model_with_pickled_weights_is_refused_unopened(tmp_path: Path, trace: Path) -> None:
    folder = model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(trace)))
    assert "no config.json with safetensors" in refused(folder)
    assert not trace.exists()


@pytest.mark.attack(line="pickle")
def test_pickled_weights_beside_safetensors_are_never_opened(tmp_path: Path, trace: Path) -> None:
    folder = model(tmp_path / "model")
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Payload(trace)))
    engine = HFEngine(models.resolve(str(folder)), choose("cpu", "fp32"))
    assert engine.model is not None
    assert engine.tokenizer is not None
    assert not trace.exists()


@pytest.mark.attack(line="pickle")
def test_a_pickle_that_is_named_safetensors_is_one_line(tmp_path: Path, trace: Path) -> None:
    folder = model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(trace)))
    engine = HFEngine(models.resolve(str(folder)), choose("cpu", "fp32"))
    with pytest.raises(ModelError, match="weights cannot be loaded"):
        _ = engine.model
    assert not trace.exists()


MAPS = {
    "config": ("config.json", {"AutoConfig": "evil.E", "AutoModelForCausalLM": "evil.E"}),
    "tokenizer": ("tokenizer_config.json", {"AutoTokenizer": ["evil.E", None]}),
    "elsewhere": ("config.json", {"AutoConfig": "owner/name--evil.E"}),
}


@pytest.mark.attack(line="code")
@pytest.mark.parametrize("case", MAPS)
@pytest.mark.parametrize("known", [True, False])
def test_a_model_that_brings_code_is_refused_and_its_code_never_runs(
    tmp_path: Path, trace: Path, case: str, known: bool
) -> None:
    name, auto_map = MAPS[case]
    folder = model(tmp_path / "model")
    written(folder, evil__py=f"import os\nos.mkdir({str(trace)!r})\nclass E: pass\n")
    changed(folder / name, auto_map=auto_map)
    if not known:
        changed(folder / "config.json", model_type="evil")
    assert "asks to run Python code" in refused(folder)
    assert not trace.exists()


@pytest.mark.attack(line="code")
def test_an_engine_that_is_given_such_a_folder_does_not_trust_it_either(
    tmp_path: Path, trace: Path
) -> None:
    folder = model(tmp_path / "model")
    written(folder, evil__py=f"import os\nos.mkdir({str(trace)!r})\nclass E: pass\n")
    auto_map = {"AutoConfig": "evil.E", "AutoModelForCausalLM": "evil.E"}
    changed(folder / "config.json", auto_map=auto_map, model_type="evil")
    changed(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.E", "evil.E"]})
    engine = HFEngine(Checkpoint("evil", "0", str(folder), "evil"), choose("cpu", "fp32"))
    for part in ("config", "model"):
        with pytest.raises(ModelError, match="cannot be loaded"):
            getattr(engine, part)
    with suppress(ModelError):  # its files alone may make a tokenizer
        _ = engine.tokenizer
    assert not trace.exists()


ESCAPES = (
    "{{ cycler.__init__.__globals__.os.mkdir(TRACE) }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% set x = messages.append.__self__.__class__.__base__.__subclasses__() %}{{ x }}",
    "{{ raise_exception.__globals__['__builtins__']['__import__']('os').mkdir(TRACE) }}",
)


@pytest.mark.attack(line="code")
@pytest.mark.parametrize("number", range(len(ESCAPES)))
def test_a_chat_template_reaches_nothing_but_the_messages(
    tmp_path: Path, trace: Path, number: int
) -> None:
    folder = model(tmp_path / "model")
    text = ESCAPES[number].replace("TRACE", repr(str(trace)))
    changed(folder / "tokenizer_config.json", chat_template=text + "{{ messages[0]['content'] }}")
    tokenizer = HFEngine(models.resolve(str(folder)), choose("cpu", "fp32")).tokenizer
    assert tokenizer.chat_template.startswith("{")
    said = Sample((Turn("user", "Hi"), Turn("assistant", "Yes")), "tests")
    (found,) = templates.encode([said], tokenizer)
    assert "subclass" not in str(tokenizer.decode(found.ids))
    assert "<class" not in str(tokenizer.decode(found.ids))
    assert not trace.exists()


PLAIN = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
MODULES: dict[str, Any] = {
    "own class": [PLAIN, {"path": "", "type": "evil.E"}],
    "of another repository": [{"path": "", "type": "owner/name--evil.E"}],
    "any import": [{"path": "", "type": "os.abort"}],
    "a router": [{"path": "", "type": "sentence_transformers.models.Router"}],
    "looks like one": [{"path": "", "type": "sentence_transformers_evil.Transformer"}],
    "outside": [PLAIN | {"path": "../outside"}],
    "absolute": [PLAIN | {"path": "/etc"}],
    "wrong types": [PLAIN | {"path": 5}],
    "no list": {"a": 1},
    "empty": [],
    "text": "x",
}


@pytest.mark.attack(line="code")
@pytest.mark.parametrize("case", MODULES)
def test_an_embedder_may_name_only_plain_modules_inside_it(
    tmp_path: Path, trace: Path, case: str
) -> None:
    folder = model(tmp_path / "model")
    written(folder, evil__py=f"import os\nos.mkdir({str(trace)!r})\nclass E: pass\n")
    (folder / "modules.json").write_text(json.dumps(MODULES[case]), "utf8")
    assert "modules.json" in refused(folder)
    assert not trace.exists()


@pytest.mark.attack(line="pickle")
def test_a_dense_module_with_pickled_weights_or_its_own_activation_is_refused(
    tmp_path: Path, trace: Path
) -> None:
    folder = model(tmp_path / "model")
    dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([PLAIN, dense]), "utf8")
    inner = folder / "2_Dense"
    inner.mkdir()
    (inner / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(trace)))
    assert "pickled weights alone" in refused(folder)
    (inner / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    written(inner, config__json=json.dumps({"activation_function": "evil.run"}))
    assert "activation of its own" in refused(folder)
    written(inner, config__json=json.dumps({"activation_function": "torch.nn.Identity"}))
    assert models.resolve(str(folder)).kind == "sentence"
    assert not trace.exists()


def test_the_installed_embedder_is_none_of_these() -> None:
    assert models.resolve("minilm").kind == "sentence"


BROKEN = {
    "tokenizer.json": '{"version": "1.0", "model": {"type": "Evil"}}',
    "config.json": '{"model_type": ["llama"], "hidden_size": "x"}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_of_broken_files_is_one_line(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "model")
    (folder / name).write_text(BROKEN[name], "utf8")
    engine = HFEngine(models.resolve(str(folder)), choose("cpu", "fp32"))
    part = "tokenizer" if name.startswith("tokenizer") else "config"
    with pytest.raises(ModelError) as error:
        getattr(engine, part)
    assert str(error.value).isprintable()


# SQL

SQL = (
    *("x'; DROP TABLE pools; --", 'x"; DROP TABLE runs; --', "x) OR 1=1 --", "'' OR ''='", "?"),
    *('"; DROP TABLE samples; --', "'||(SELECT 1)||'", "%' OR '1'='1", "$1", "\\' --"),
)


def tables() -> dict[str, int]:
    with store.connect() as con:
        names = [n for (n,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {n: con.execute(f'SELECT count(*) FROM "{n}"').fetchall()[0][0] for n in names}


@pytest.fixture
def scored(tmp_path: Path) -> Recipe:
    pools.import_files([jsonl(tmp_path / "pool.jsonl", rows(30))], "toy")
    run = runs.execute(RunSpec("toy", METHOD, model="fake", device="cpu")).run
    return Recipe(pool="toy", method=METHOD, run_id=run.run_id)


@pytest.mark.attack(line="sql")
@pytest.mark.parametrize("text", SQL)
def test_no_name_or_text_reaches_a_statement(scored: Recipe, tmp_path: Path, text: str) -> None:
    before = tables()
    run_id = scored.run_id
    with store.connect() as con:
        assert views.sources(con, text).empty
        assert views.fingerprint(con, text) == ""
        assert views.maps(con, text).empty
        assert facets.values(con, "toy", f"meta.{text}") == []
        assert np.isnan(facets.numbers(con, "toy", f"meta.{text}", 30)).all()
        assert store.pools.meta_column(con, "toy", text) == [None] * 30
        assert store.pools.read_samples(con, text, []) == []
        assert np.isnan(stored.cell(con, run_id, text, 0))
        for wrong in (text, f"run_{run_id}; DROP TABLE pools"):
            with pytest.raises(RunError):
                stored.scores_table(wrong)
            with pytest.raises(RunError):
                stored_maps.places_table(wrong)
        for rule in (Among(column="source", values=(text,)), Search(text=text)):
            assert not predicates.positions_passing(con, rule, "toy", run_id, 30).any()
            told = predicates.predicate(con, [rule], "toy", run_id)
            assert con.execute(told).fetchall() == []
        for wrong in (text, f"n_tokens; {text}"):
            with pytest.raises(BudgetError, match="no such column"):
                predicates.condition(con, Range(column=wrong, low=0), "toy", run_id)
        with pytest.raises(BudgetError):
            recipes.get(con, text)
        with pytest.raises(PoolError):
            stored.newest_run(con, text, text)
    for ask in (
        lambda: selection.select(scored.model_copy(update={"run_id": text})),
        lambda: runs.execute(RunSpec(text, METHOD, model="fake")),
        lambda: external.import_scores(text, tmp_path / "pool.jsonl", "id"),
    ):
        with pytest.raises(SFTLensError):
            ask()
    assert tables() == before


@pytest.mark.attack(line="sql")
@pytest.mark.parametrize("text", SQL[::2])
def test_hostile_names_are_names(tmp_path: Path, text: str) -> None:
    """Pool, source, column, reviewer, note and recipe: each comes back as it was given."""
    name = text.replace("\\", "")
    talks = [{**r, "source": text, text: k, "label": text} for k, r in enumerate(rows(12))]
    pools.import_files([jsonl(tmp_path / "pool.jsonl", talks)], name)
    run = runs.execute(RunSpec(name, METHOD, model="fake", device="cpu")).run
    recipe = Recipe(
        pool=name,
        method=METHOD,
        run_id=run.run_id,
        budget="100%",
        rules=(Among(column="source", values=(text,)), Range(column=f"meta.{text}", high=5)),
    )
    found = selection.select(recipe)
    assert found.sources == (text,)
    assert found.subset.counts()["kept"] <= 6
    assert [int(mask.sum()) for mask in found.subset.passed] == [12, 6]
    with store.connect(write=True) as con:
        told = predicates.predicate(con, recipe.rules, name, run.run_id)
        assert len(con.execute(told).fetchall()) == 6
        reviews.add(con, Review(name, found.ids[0], text, "good", text, text))
        recipes.save(con, text, recipe, text, text)
    with store.connect() as con:
        said = reviews.reviews(con, name).iloc[0]
        assert (said["reviewer"], said["note"]) == (text, text)
        assert recipes.get(con, text) == recipe
        assert views.pools(con)["pool"].tolist() == [name]


# What may stand in a statement beside values: tables by our own ids, columns that the store lists
# or quotes, and pieces of SQL that are built from nothing else.
NAMED = {
    *("table", "self._table", "self.table", "self.text", "scores_table(run_id)", "scope", "some"),
    *("scores_table(run.run_id)", "places_table(map_id)", "_known(map_id)", "quoted(column)"),
    *("chosen", "crossings", "numbers", "COLUMNS", "_spelled(c)", "', '.join(counts)", "c"),
    *("name", "tokens"),  # of facets.py: one of two expressions
}
STATEMENT = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|CREATE|DROP|ALTER|COPY|WHERE)\b")


@pytest.mark.attack(line="sql")
def test_nothing_is_written_into_a_statement_but_names_of_a_fixed_list() -> None:
    seen = set()
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            if isinstance(node, ast.JoinedStr) and STATEMENT.search(ast.unparse(node)):
                assert path.parent.name == "store", path  # SQL is there alone
                named = [v.value for v in node.values if isinstance(v, ast.FormattedValue)]
                seen |= {ast.unparse(value) for value in named}
    assert seen - NAMED == set()


@pytest.mark.attack(line="sql")
def test_a_column_that_a_store_of_another_lists_ends_no_name(scored: Recipe) -> None:
    evil = '"; DROP TABLE pools; --'
    table = stored.scores_table(scored.run_id)
    with store.connect(write=True) as con:
        named = evil.replace('"', '""')
        con.execute(f'ALTER TABLE {table} ADD COLUMN "{named}" DOUBLE DEFAULT 7')
    before = tables()
    with store.connect() as con:
        assert stored.cell(con, scored.run_id, evil, 0) == 7
        assert stored.columns(con, scored.run_id, 30).read(evil)[evil].tolist() == [7.0] * 30
        assert standing.standings(con, "toy", scored.run_id, 0, [evil])[1].value == 7
        rule = Range(column=evil, low=7)
        assert predicates.positions_passing(con, rule, "toy", scored.run_id, 30).all()
        told = predicates.predicate(con, [rule], "toy", scored.run_id)
        assert len(con.execute(told).fetchall()) == 30
    assert tables() == before


RESERVED = ("select", "order", "group", "table", "from", "where", "end", "case", "null", "limit")


@pytest.mark.attack(line="sql")
def test_columns_of_scores_may_be_named_as_sql_is(tmp_path: Path) -> None:
    talks = [{**r, "id": k} for k, r in enumerate(rows(12))]
    pools.import_files([jsonl(tmp_path / "pool.jsonl", talks)], "toy")
    hostile = {"x; DROP TABLE pools": 1.5, '"quoted"': 2.5}
    scores = [{"id": k, **dict.fromkeys(RESERVED, k / 2), **hostile} for k in range(12)]
    path = jsonl(tmp_path / "scores.jsonl", scores)
    run = external.import_scores("toy", path, "id", "select").run
    recipe = Recipe(pool="toy", method="external", run_id=run.run_id, budget="100%")
    for column in (*RESERVED, "x_drop_table_pools", "quoted"):
        rule = Range(column=column, low=0.5)
        found = selection.select(recipe.model_copy(update={"rules": (rule,)}))
        assert int(found.subset.passed[0].sum()) >= 11
        with store.connect() as con:
            assert len(con.execute(predicates.predicate(con, [rule], "toy", run.run_id)).fetchall())
            assert stored.cell(con, run.run_id, column, 2) > 0
            assert standing.standings(con, "toy", run.run_id, 2, [column])[1].value > 0


# names of files


@pytest.mark.attack(line="paths")
@pytest.mark.parametrize(
    "name", ["../x", "..\\x", "a/b", "/etc/x", "a\0b", "-rf", "a\nb", " a", ""]
)
def test_a_pool_cannot_be_named_as_a_path(tmp_path: Path, name: str) -> None:
    path = jsonl(tmp_path / "pool.jsonl", rows(3))
    with pytest.raises(PoolError, match="is not a name"):
        pools.import_files([path], name)


@pytest.mark.attack(line="paths")
@pytest.mark.parametrize("name", ["..", ".", "~", "a..b", "CON", "x'; ls"])
def test_what_a_pool_leaves_on_disk_stays_in_the_cache(tmp_path: Path, name: str) -> None:
    path = jsonl(tmp_path / "in" / "pool.jsonl", [*rows(3), "broken"])
    books, _ = pools.import_files([path], name)
    assert books.quarantine_file is not None
    assert books.quarantine_file.resolve().parent == (config.cache_dir() / "quarantine").resolve()
    assert {p.name for p in tmp_path.iterdir()} == {"in", "cache"}


# secrets

SECRETS = {
    "HF_TOKEN": "hf_Zq7secretsecretsecret",
    "OPENAI_API_KEY": "sk-Zq7secretsecretsecret",
    "AWS_SECRET_ACCESS_KEY": "Zq7secret/secret+secret",
    "HTTPS_PROXY": "http://user:Zq7secret@127.0.0.1:9",
}


@pytest.mark.attack(line="secrets")
def test_no_secret_of_the_environment_is_printed_logged_or_stored(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "pool.jsonl", [*rows(20), "broken"])
    said = [
        sftlens(*words, **SECRETS)
        for words in (
            ("import", file, "--pool", "toy"),
            ("score", "toy", METHOD, *FAKE),
            ("select", "toy", "--method", METHOD, "--budget", "5", "--extras", "--out", "out"),
            ("push", tmp_path / "out", "owner/name", "--yes"),
        )
        for words in [[tmp_path / "out" if word == "out" else word for word in words]]
    ]
    assert [run.returncode for run in said][:3] == [0, 0, 0]
    everything = "".join(run.stdout + run.stderr for run in said).encode()
    everything += b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"differential_entropy" in everything
    assert b"Zq7secret" not in everything
