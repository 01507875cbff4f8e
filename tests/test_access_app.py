"""Attacks on the app's writes: in an app that only reads, and by people without the right."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import (
    access,
    config,
    export,
    external,
    files,
    heat,
    hub,
    jobs,
    mapping,
    pools,
    rebuild,
    runs,
    store,
    writes,
)
from core.access import Person
from core.demo import bundle
from core.domain import RunSpec
from core.errors import AccessError
from core.export import Layout
from core.recipe import Recipe
from core.roles import Role
from core.store import pools as stored_pools
from core.store import recipes
from core.store.reviews import Review, add, reviews
from pages.ui import data_audit, data_export, data_people, rights
from pages.ui.prose import JOINER

TEXT = "quagga"  # in every sample, so that it shows when one is sent
SPEC = RunSpec("toy", "perplexity", model="fake")
ROLES = """
[roles]
"cy@example.org" = "curator"
"ann@example.org" = "annotator"
"@example.org" = "viewer"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "toy.jsonl"
    rows = [{"instruction": f"Say {TEXT} {i}", "output": "word " * (1 + i % 5)} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "toy")
    run = runs.execute(SPEC).run
    return Recipe(pool="toy", method="perplexity", run_id=run.run_id, budget="20%")


@pytest.fixture
def read_only(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.READ_ONLY, "1")


@pytest.fixture
def signed(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "roles.toml"
    path.write_text(ROLES, "utf8")
    monkeypatch.setenv(rights.ROLES_FILE, str(path))
    return path


def sample_id() -> str:
    with store.connect() as con:
        return str(stored_pools.get_pool(con, "toy").sample_ids[0])


def state() -> dict[str, str]:
    """Every file of the cache but the log of writes, with its SHA-256."""
    found = [p for p in config.cache_dir().rglob("*") if p.is_file() and p.name != "writes.jsonl"]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def direct(recipe: Recipe, tmp_path: Path) -> dict[str, Callable[[], Any]]:
    """Every write there is, called as no page would call it."""
    more, scores, out = tmp_path / "more.jsonl", tmp_path / "scores.csv", tmp_path / "out"
    more.write_text('{"instruction": "a", "output": "b"}\n', "utf8")
    scores.write_text(f"sample_id,score\n{sample_id()},1\n", "utf8")
    review = Review("toy", sample_id(), "eve", "good")

    def by_hand(write: Callable[[store.Connection], object]) -> Callable[[], object]:
        def go() -> object:
            with store.connect(write=True) as con:
                return write(con)

        return go

    return {
        "a pool": lambda: pools.import_files([more], "more"),
        "a query set": lambda: pools.import_files([more], "goal", "query"),
        "scores": lambda: external.import_scores("toy", scores, "sample_id"),
        "the demo": bundle.load,
        "a run": lambda: runs.execute(SPEC),
        "a launched run": lambda: runs.launch(SPEC),
        "heat": lambda: heat.measure("toy", sample_id(), recipe.run_id),
        "launched heat": lambda: heat.launch("toy", sample_id(), recipe.run_id),
        "a map": lambda: mapping.make("toy"),
        "an export": lambda: export.export(recipe, Layout(), out),
        "the app's export": lambda: data_export.make_files(recipe, Layout()),
        "one exported file": lambda: data_export.one_file(scores),
        "all exported files": lambda: data_export.all_files(tmp_path, ["scores.csv"]),
        "a push": lambda: hub.push(out, "eve/stolen"),
        "verdicts as a file": lambda: data_audit.as_csv("toy", {}),
        "a rebuilt store": lambda: rebuild.rebuild(anyway=True),
        "a recipe": lambda: data_people.save_recipe("mine", recipe),
        "a recipe by hand": by_hand(lambda con: recipes.save(con, "mine", recipe)),
        "a verdict by hand": by_hand(lambda con: add(con, review)),
        "a table": by_hand(lambda con: con.execute("DROP TABLE reviews")),
    }


def refused(attacks: dict[str, Callable[[], Any]]) -> dict[str, str]:
    """Why each write was refused; a write that was made is left out."""
    found = {}
    for name, write in attacks.items():
        try:
            write()
        except AccessError as error:
            found[name] = error.what
    return found


@pytest.mark.attack(line="log")
def test_every_write_is_logged_by_its_object_and_no_text_of_a_person_or_a_sample_is(
    recipe: Recipe, tmp_path: Path
) -> None:
    data_people.add_review(Review("toy", sample_id(), "eve", "good", note="okapi"))
    data_people.save_recipe("mine", recipe, note="okapi")
    export.export(recipe, Layout(extras=True), tmp_path / "out")
    told = {w.act: (w.outcome, w.on, w.detail) for w in writes.newest(9)}
    assert told == {
        "import": ("done", "toy", ""),
        "score": ("done", "toy perplexity", ""),
        "verdict": ("done", f"toy {sample_id()}", "good by eve"),
        "recipe": ("done", "toy mine", recipe.key),
        "export": ("done", f"toy {recipe.key} to out", ""),
    }
    log = writes.path().read_text("ascii")
    assert "okapi" not in log
    assert TEXT not in log


@pytest.mark.attack(line="read-only")
@pytest.mark.usefixtures("read_only")
def test_every_write_is_refused_where_it_happens_when_the_app_is_read_only(
    recipe: Recipe, tmp_path: Path
) -> None:
    before, attacks = state(), direct(recipe, tmp_path)
    assert refused(attacks) == dict.fromkeys(attacks, "this app is read-only")
    assert "read-only" in data_people.add_review(Review("toy", sample_id(), "eve", "good"))
    assert not (tmp_path / "out").exists()
    assert state() == before


@pytest.mark.attack(line="roles")
@pytest.mark.parametrize("role", ["viewer", "annotator"])
def test_every_write_is_refused_where_it_happens_to_who_has_a_smaller_role(
    recipe: Recipe, tmp_path: Path, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, attacks = state(), direct(recipe, tmp_path)
    if role == "annotator":  # theirs; and who may write anything may write SQL, which no page does
        del attacks["verdicts as a file"], attacks["a table"]
    monkeypatch.setattr(access, "_ask", lambda: Person("ann@example.org", role, signed_in=True))
    told = refused(attacks)
    assert set(told) == set(attacks)
    assert all("this takes a" in text or "is not that of" in text for text in told.values())
    assert state() == before


@pytest.mark.attack(line="read-only")
def test_an_app_that_only_reads_changes_no_older_store(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.connect(write=True) as con:
        con.execute("DELETE FROM migrations WHERE number > 3")
    monkeypatch.setenv(access.READ_ONLY, "1")
    before = state()
    with pytest.raises(AccessError, match="older SFTLens"), store.connect():
        raise AssertionError("it was brought up to date")
    assert state() == before


@pytest.fixture
def job() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    facts = {"state": "running", "pid": process.pid, "started": jobs.start_of(process.pid)}
    files.write_json(jobs.status_path("job"), facts)
    yield process
    process.kill()
    process.wait()


@pytest.mark.attack(line="read-only")
@pytest.mark.usefixtures("read_only")
def test_nobody_stops_a_run_in_an_app_that_only_reads(job: "subprocess.Popen[bytes]") -> None:
    with pytest.raises(AccessError, match="read-only"):
        jobs.stop("job")
    time.sleep(0.2)
    assert job.poll() is None


def page_of(script: str, email: str = "", **claims: object) -> AppTest:
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=240)
    if email:
        told = {"is_logged_in": True, "email": email, "email_verified": True, "iat": time.time()}
        page.user = told | claims
    page.run()
    if page.button and script != "app.py" and not at_the_door(page):
        page.switch_page(script).run()
    assert not page.exception
    return page


def at_the_door(page: AppTest) -> bool:
    return any(str(b.key).startswith("rights_log") for b in page.button)


def click(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception
    return page


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is greyed out: a page that was drawn before the right was lost."""
    monkeypatch.setattr(rights, "lock", lambda _, about=None, **kept: {"help": about, **kept})


def given_verdicts() -> list[tuple[str, str]]:
    with store.connect() as con:
        frame = reviews(con, "toy")
    return list(zip(frame["reviewer"], frame["verdict"], strict=True))


def saved() -> list[str]:
    with store.connect() as con:
        return [str(name) for name in recipes.saved(con, "toy")["name"]]


def save(page: AppTest) -> AppTest:
    page.text_input(key="frame_save_name").input("mine")
    return click(page, "FormSubmitter:frame_save-Save the recipe")


def attacked(email: str = "") -> dict[str, AppTest]:
    """The pages that write, by the control that does."""
    reader = page_of("pages/reader.py", email)
    if not email:
        reader.session_state["state"].reviewer = "eve"
        reader.run()
    return {
        "reader_good": reader,
        "reader_heat_start": reader,
        "FormSubmitter:frame_save-Save the recipe": reader,
        "export_make": page_of("pages/export.py", email),
        "runs_start": page_of("pages/runs.py", email),
    }


@pytest.mark.attack(line="read-only")
@pytest.mark.usefixtures("read_only")
def test_every_control_that_writes_is_greyed_out_with_the_reason() -> None:
    for key, page in attacked().items():
        assert page.button(key=key).disabled, key
        assert "read-only" in page.button(key=key).help, key


@pytest.mark.attack(line="read-only")
@pytest.mark.usefixtures("read_only", "bare")
def test_a_control_that_is_not_greyed_out_is_refused_where_it_writes() -> None:
    before = state()
    for key, page in attacked().items():
        if "save" in key:
            page.text_input(key="frame_save_name").input("mine")
        click(page, key)
        told = [*page.error, *page.warning]
        assert "read-only" in "".join(str(e.value) for e in told), key
    assert given_verdicts() == saved() == []
    assert state() == before


@pytest.mark.attack(line="read-only")
def test_the_demo_is_not_opened_in_an_empty_app_that_only_reads(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv(access.READ_ONLY, "1")
    assert page_of("app.py").button(key="frame_demo").disabled
    request.getfixturevalue("bare")
    assert "read-only" in click(page_of("app.py"), "frame_demo").error[0].value
    assert not config.store_path().exists()


def words(page: AppTest) -> str:
    return f"{page.main!r}{page.sidebar!r}"


@pytest.mark.attack(line="roles")
@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize(
    ("email", "claims"),
    [
        ("", {}),
        ("eve@evil.example", {}),
        ("cy@example.org", {"email_verified": False}),
        ("cy@example.org", {"email_verified": None}),
        ("cy@example.org", {"email_verified": "false"}),
        ("cy@example.org", {"email_verified": 1}),
        ("cy@example.org", {"is_logged_in": False}),
        ("cy@example.org", {"is_logged_in": "yes"}),
        ("cy@example.org", {"iat": time.time() - 13 * 3600}),
        ("cy@example.org", {"iat": None}),
        ("cy@example.org@evil.example", {}),
    ],
)
def test_who_is_not_known_sees_a_login_and_nothing_of_the_store(
    email: str, claims: dict[str, object]
) -> None:
    page = page_of("app.py", email, **claims)
    assert at_the_door(page)
    assert not page.sidebar.children
    assert len(page.button) == 1
    for secret in (TEXT, "toy", "perplexity"):
        assert secret not in words(page)


@pytest.mark.attack(line="roles")
@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize("script", ["reader", "export", "runs", "audit", "recipe", "story"])
def test_no_page_opens_for_who_is_not_known(script: str) -> None:
    page = AppTest.from_file(config.ROOT / "pages" / f"{script}.py", default_timeout=240).run()
    assert at_the_door(page)
    assert "toy" not in words(page)


@pytest.mark.attack(line="roles")
@pytest.mark.usefixtures("signed")
def test_a_viewer_reads_and_a_verdict_of_theirs_is_refused(request: pytest.FixtureRequest) -> None:
    page = page_of("pages/reader.py", "vic@example.org")
    assert TEXT in "".join(str(m.value) for m in page.markdown)
    assert page.button(key="reader_good").disabled
    request.getfixturevalue("bare")
    page.run()
    click(page, "reader_good")
    told = page.error[0].value.replace(JOINER, "")
    assert "this takes an annotator, and vic@example.org is a viewer" in told
    assert given_verdicts() == []


@pytest.mark.attack(line="roles")
@pytest.mark.usefixtures("signed")
def test_an_annotator_judges_under_the_name_of_the_login_alone() -> None:
    page = page_of("pages/reader.py", "Ann@Example.org")
    assert not [t for t in page.text_input if t.key == "reader_reviewer"]  # nothing to type
    page.session_state["state"].reviewer = "cy@example.org"
    click(page, "reader_good")
    assert "is not that of ann@example.org" in page.error[0].value.replace(JOINER, "")
    assert given_verdicts() == []
    click(page, "reader_bad")
    assert given_verdicts() == [("ann@example.org", "bad")]


@pytest.mark.attack(line="roles")
@pytest.mark.usefixtures("signed", "bare")
def test_an_annotator_saves_no_recipe_exports_nothing_and_scores_nothing() -> None:
    before = state()
    for key, page in attacked("ann@example.org").items():
        if key == "reader_good":
            continue  # that they may
        if "save" in key:
            page.text_input(key="frame_save_name").input("mine")
        click(page, key)
        told = [*page.error, *page.warning]
        assert "this takes a curator" in "".join(str(e.value) for e in told), key
    assert saved() == []
    assert state() == before


@pytest.mark.attack(line="roles")
def test_a_download_asks_for_the_right_when_it_is_made(signed: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.txt"
    made.write_text("made", "utf8")
    curator = {"is_logged_in": True, "email": "cy@example.org", "email_verified": True}
    token = rights._LATER.set(curator | {"iat": time.time()})
    try:
        download = rights.later(lambda: data_export.one_file(made).close())
    finally:
        rights._LATER.reset(token)
    download()
    signed.write_text(ROLES.replace('"cy@example.org" = "curator"', ""), "utf8")
    with pytest.raises(AccessError, match=r"this takes a curator, and cy@example\.org is a viewer"):
        download()


@pytest.mark.usefixtures("signed")
def test_a_curator_saves_a_recipe_as_themselves() -> None:
    save(page_of("pages/reader.py", "cy@example.org"))
    with store.connect() as con:
        assert recipes.saved(con, "toy")["author"].tolist() == ["cy@example.org"]


@pytest.mark.attack(line="roles")
def test_who_is_taken_out_of_the_roles_is_shut_out_in_the_middle_of_a_session(
    signed: Path,
) -> None:
    page = page_of("pages/reader.py", "ann@example.org")
    signed.write_text(ROLES.replace('"ann@', '"other@').replace('"@ex', '"@not-ex'), "utf8")
    page.button(key="reader_good").click().run()
    assert given_verdicts() == []
    page.run()
    assert at_the_door(page)
    signed.write_text("[roles", "utf8")  # no roles, no rights
    assert at_the_door(page_of("app.py", "cy@example.org"))


@pytest.mark.attack(line="roles")
@pytest.mark.usefixtures("signed")
def test_nobody_writes_from_outside_a_session(recipe: Recipe, tmp_path: Path) -> None:
    before, attacks = state(), direct(recipe, tmp_path)
    assert refused(attacks) == dict.fromkeys(attacks, "nobody is signed in who is known here")
    assert state() == before


@pytest.mark.attack(line="paths")
def test_a_model_path_typed_in_the_app_leads_nowhere_outside(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state()
    page = page_of("pages/runs.py")
    for name in (f"{os.sep}etc", "owner/na\0me", "owner/" + "a" * 200_000):
        page.text_input(key="runs_model").set_value(name).run()
        click(page, "runs_start")
        assert "leads out of the folders" in page.error[0].value, name[:20]
    spec = RunSpec("toy", "differential_entropy", {"calibrated": str(tmp_path)}, "fake")
    with pytest.raises(AccessError, match="leads out of the folders"):
        runs.launch(spec)
    assert state() == before
