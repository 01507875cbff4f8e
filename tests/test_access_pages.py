"""What pages show to who may not do everything: greyed out with the reason, or in one sentence."""

import time
from pathlib import Path

import pytest
from calls import jsonl, rows
from streamlit.testing.v1 import AppTest

from benchmarks.undisturbed import OLD, older
from core import access, config, pools, runs
from core.domain import RunSpec
from core.store.look import look
from pages.ui import rights
from pages.ui.navigation import ENTRIES
from pages.ui.prose import JOINER

VIEWER, CURATOR = "vic_t_w@example.org", "cy@example.org"
ROLES = f'[roles]\n"{CURATOR}" = "curator"\n"@example.org" = "viewer"\n'
REASON = f"This takes {{}}, and {VIEWER} is a viewer. Ask whoever keeps the roles of this app."


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "roles.toml"
    path.write_text(ROLES, "utf8")
    monkeypatch.setenv(rights.ROLES_FILE, str(path))
    return path


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = jsonl(tmp_path / "toy.jsonl", rows(30))
    pools.import_files([path], "toy")
    return path


@pytest.fixture
def scored(pool: Path) -> None:
    runs.execute(RunSpec("toy", "perplexity", model="fake"))


def opened(script: str, email: str) -> AppTest:
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=240)
    if email:
        told = {"is_logged_in": True, "email": email, "email_verified": True, "iat": time.time()}
        page.user = told
    page.run()
    if script != "app.py":
        page.switch_page(script).run()
    assert not page.exception
    return page


def said(page: AppTest) -> str:
    """The words of the page itself, as a person reads them."""
    kinds = (page.main.markdown, page.main.caption, page.main.text, page.main.error)
    shown = "\n".join(str(e.value) for kind in kinds for e in kind)
    return shown.replace(JOINER, "").replace("\\", "")


@pytest.mark.usefixtures("scored", "signed")
@pytest.mark.parametrize("script", ["pages/reader.py", "pages/audit.py"])
def test_who_cannot_judge_is_told_why_instead_of_their_name(script: str) -> None:
    found = said(opened(script, VIEWER))
    assert REASON.format("an annotator") in found
    assert "You judge as" not in found


@pytest.mark.usefixtures("scored", "signed")
def test_who_cannot_send_is_not_told_to_make_files_first() -> None:
    found = said(opened("pages/export.py", VIEWER))
    assert REASON.format("a curator") in found
    assert "Make the files first" not in found


@pytest.mark.usefixtures("pool", "signed")
@pytest.mark.parametrize(("email", "shut"), [(VIEWER, True), (CURATOR, False)])
def test_the_way_to_scoring_is_shut_for_who_cannot_score(email: str, shut: bool) -> None:
    page = opened("app.py", email)
    [link] = [e.proto for e in page.get("page_link") if e.proto.label == "Start scoring"]
    assert link.disabled == shut
    assert ("This takes a curator" in link.help) == shut


@pytest.mark.usefixtures("pool")
def test_a_method_that_needs_queries_cannot_be_started_without_them(tmp_path: Path) -> None:
    page = opened("pages/runs.py", "")
    page.selectbox(key="runs_method").set_value("gradient_similarity").run()
    assert page.button(key="runs_start").disabled
    assert "query set" in page.button(key="runs_start").help
    pools.import_files([jsonl(tmp_path / "goal.jsonl", rows(3))], "goal", "query")
    assert not page.run().button(key="runs_start").disabled


@pytest.fixture
def old(tmp_path: Path) -> Path:
    older(config.cache_dir(), jsonl(tmp_path / "pool.jsonl", rows(30)))
    return config.store_path()


@pytest.mark.parametrize("script", [entry.script for entry in ENTRIES])
def test_in_an_app_that_only_reads_an_older_store_is_one_sentence_that_says_who_can_mend_it(
    script: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = old.read_bytes()
    monkeypatch.setenv(access.READ_ONLY, "1")
    page = opened(script, "")
    [error] = page.error
    assert error.value in [e.value for e in page.main.error]  # not in the narrow sidebar
    assert "written by an older SFTLens" in error.value
    assert "Whoever runs this app can do that, with: sftlens pools." in error.value
    assert str(old.parent) not in error.value
    assert old.read_bytes() == before
    assert [p.name for p in old.parent.glob("*.duckdb")] == [old.name]


@pytest.mark.usefixtures("old", "signed")  # in this order: roles hold for its import, too
def test_a_viewer_leaves_an_older_store_to_a_curator_who_brings_it_up_to_date(old: Path) -> None:
    assert "written by an older SFTLens" in said(opened("app.py", VIEWER))
    assert look(old).state == "older"
    assert not opened("app.py", CURATOR).error
    assert look(old).state == "ready"
    assert len(list(old.parent.glob(f"*.schema-{OLD}.*"))) == 1
    assert not opened("app.py", VIEWER).error


@pytest.mark.usefixtures("pool")
def test_roles_that_cannot_be_read_are_told_apart_from_a_login_without_a_role(
    signed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signed.write_text("[roles", "utf8")
    assert "The roles of this app cannot be read" in said(opened("app.py", CURATOR))
    assert "roles.toml" in caplog.text
    signed.write_text('[roles]\n"x@y.z" = "viewer"\n', "utf8")
    assert f"{CURATOR} has no access here" in said(opened("app.py", CURATOR))
