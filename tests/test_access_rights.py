"""Roles, the log of writes, and the folders that a typed path may lead into."""

import json
import os
from pathlib import Path

import pytest
from calls import sftlens
from hypothesis import given
from hypothesis import strategies as st

from core import access, clock, config, places, pools, roles, writes
from core.access import JUDGING, Action, Person
from core.errors import AccessError, ConfigError
from core.roles import ROLES, Roles

WRITES: tuple[Action, ...] = (
    "verdict", "recipe", "score", "stop", "heat", "map", "import", "export", "push", "rebuild",
)  # fmt: skip
KNOWN = Roles({"ada@example.org": "curator", "@example.org": "viewer"})


def as_person(monkeypatch: pytest.MonkeyPatch, name: str, role: roles.Role | None) -> None:
    monkeypatch.setattr(access, "_ask", lambda: Person(name, role, signed_in=True))


@pytest.mark.attack(line="roles")
def test_each_role_may_do_what_the_one_before_may_and_nobody_unknown_does_anything() -> None:
    may = {role: {a for a in ("read", *WRITES) if access.allowed(role, a)} for role in ROLES}
    assert may["viewer"] == {"read"}
    assert may["annotator"] == {"read", "verdict"} == JUDGING - {"write"}
    assert may["curator"] == {"read", *WRITES}
    assert not any(access.allowed(None, a) for a in ("read", *WRITES))


@pytest.mark.attack(line="roles")
@pytest.mark.parametrize(
    "email",
    [
        "eve@example.org.evil.example",  # a domain is whole, never an ending
        "eve@evil.example@example.org",  # no e-mail has two
        "eve@sub.example.org",
        "@example.org",
        "ada@example.org ",
        "\u212aada@example.org",  # the Kelvin sign becomes k in small letters
        "ada@ex\u0430mple.org",  # a Cyrillic a
        "",
        None,
        ["ada@example.org"],
    ],
)
def test_an_email_that_only_looks_like_a_known_one_has_no_role(email: object) -> None:
    assert KNOWN.of(email) is None


def test_an_email_has_its_own_role_and_else_that_of_its_domain() -> None:
    assert KNOWN.of("Ada@Example.org") == "curator"
    assert KNOWN.of("bob@example.org") == "viewer"


@pytest.mark.attack(line="roles")
@given(st.text())
def test_no_text_but_an_email_of_the_domain_has_a_role(email: str) -> None:
    known = KNOWN.of(email)
    assert known is None or email.lower().endswith("@example.org")


@pytest.mark.attack(line="roles")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no [roles]"),
        ("[roles]", "has no [roles]"),
        ("[roles", "is not TOML"),
        ('[roles]\n"ada@example.org" = "root"', "what is no role"),
        ('[roles]\n"ada" = "viewer"', "no e-mail and no @domain"),
        ('hours = 0\n[roles]\n"@a.b" = "viewer"', "hours that are not between"),
        ('secret = "x"\n[roles]\n"@a.b" = "viewer"', "a key that is not known"),
    ],
)
def test_a_wrong_roles_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "roles.toml"
    path.write_text(text, "utf8")
    with pytest.raises(ConfigError, match=r"roles\.toml") as refused:
        roles.read(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_change_of_the_roles_file_holds_at_once(tmp_path: Path) -> None:
    path = tmp_path / "roles.toml"
    path.write_text('[roles]\n"ada@example.org" = "curator"', "utf8")
    assert roles.read(path).of("ada@example.org") == "curator"
    path.write_text('[roles]\n"ada@example.org" = "viewer"', "utf8")
    os.utime(path, ns=(1, 1))
    assert roles.read(path).of("ada@example.org") == "viewer"


@pytest.mark.attack(line="roles")
def test_who_is_signed_in_writes_under_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    as_person(monkeypatch, "ann@example.org", "annotator")
    access.need_as("ann@example.org", "verdict")
    with pytest.raises(AccessError, match=r"is not that of ann@example\.org"):
        access.need_as("ada@example.org", "verdict")


@pytest.mark.attack(line="log")
def test_a_write_is_logged_done_failed_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    as_person(monkeypatch, "ada@example.org", "curator")
    with access.act("export", "toy to here", "4 rows"):
        pass
    with pytest.raises(ZeroDivisionError), access.act("score", "toy perplexity"):
        1 / 0  # noqa: B018
    as_person(monkeypatch, "vic@example.org", "viewer")
    with pytest.raises(AccessError), access.act("verdict", "toy 1a2b"):
        raise AssertionError("the write was made")
    told = [(w.who[:3], w.act, w.on, w.outcome, w.detail) for w in writes.newest(9)]
    assert told == [
        ("ada", "export", "toy to here", "done", "4 rows"),
        ("ada", "score", "toy perplexity", "failed", "ZeroDivisionError"),
        ("vic", "verdict", "toy 1a2b", "refused", ""),
    ]
    assert writes.path().stat().st_mode & 0o077 == 0


@pytest.mark.attack(line="log")
def test_no_write_happens_that_cannot_be_logged() -> None:
    writes.path().mkdir(parents=True)  # in its place a folder
    with pytest.raises(ConfigError), access.act("export", "toy"):
        raise AssertionError("the write was made")


@pytest.mark.attack(line="log")
def test_a_line_break_in_a_name_makes_no_second_line_of_the_log() -> None:
    forged = '{"at": "now", "who": "ada", "act": "push", "on": "x", "outcome": "done"}'
    with access.act("recipe", f"toy mine\n{forged}\n"):
        pass
    assert len(writes.path().read_bytes().splitlines()) == 1
    assert [w.act for w in writes.newest(9)] == ["recipe"]


@pytest.mark.attack(line="log")
def test_a_line_that_was_cut_short_is_passed_over() -> None:
    with access.act("recipe", "toy one"):
        pass
    with writes.path().open("ab") as log:
        log.write(b'{"at": "20')  # as a full disk cuts it
    with access.act("recipe", "toy two"):
        pass
    assert [w.on for w in writes.newest(9)] == ["toy one", "toy two"]


def test_a_line_for_which_there_is_no_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda log, text: len(text) - 1)
    with writes.opened() as log, pytest.raises(OSError, match="No space left"):
        writes.add(log, "ada", "recipe", "toy", "done")


@pytest.mark.parametrize(
    ("at", "text"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (86_399.9996, "1970-01-01T23:59:59.999Z")],
)
def test_a_time_of_day_is_cut_to_milliseconds(at: float, text: str) -> None:
    assert clock.utc(at) == text


@pytest.mark.attack(line="log")
def test_a_write_whose_line_is_not_taken_is_told_with_its_object(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    config.cache_dir().mkdir(parents=True)
    writes.path().symlink_to(full)
    with access.act("push", "toy to elsewhere"):
        pass
    assert "took no line for: push toy to elsewhere" in caplog.text


@pytest.mark.attack(line="log")
def test_no_name_is_obeyed_by_the_terminal_that_lists_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_person(monkeypatch, "eve\x1b[2J\u202e\rada@example.org  done", "curator")
    with access.act("recipe", "toy \x1b]0;owned\x07mine\nada done push"):
        pass
    listed = sftlens("log").stdout
    assert len(listed.splitlines()) == 1
    assert listed.strip().isprintable()


@pytest.mark.attack(line="log")
def test_the_command_lists_writes_without_a_text_of_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "toy.jsonl"
    records = [{"instruction": f"quagga {i}", "output": "okapi"} for i in range(3)]
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf8")
    pools.import_files([path], "toy")
    missing = sftlens("import", tmp_path / "no.jsonl", "--pool", "other", "--yes")
    assert missing.returncode == 2
    listed = sftlens("log")
    assert listed.returncode == 0, listed.stderr
    assert f"{access.owner().name} " in listed.stdout
    assert " done     import   toy" in listed.stdout
    assert sftlens("log", "--act", "push").stdout == ""
    log = writes.path().read_text("ascii")
    assert "quagga" not in log + listed.stdout
    assert "okapi" not in log + listed.stdout


@pytest.mark.attack(line="log")
def test_who_started_a_job_in_the_app_stands_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    as_person(monkeypatch, "ada@example.org", "curator")
    told = dict(access.handed_on())
    monkeypatch.setattr(access, "_ask", access.owner)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert access.person() == Person("ada@example.org", "curator")


@pytest.fixture
def allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    (folder / "model").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.gguf").touch()
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "owner").mkdir()
    (folder / "owner" / "name").symlink_to(tmp_path / "outside")
    monkeypatch.setenv(places.ALLOWED, str(folder))
    return folder


@pytest.mark.attack(line="paths")
@pytest.mark.parametrize(
    "text",
    [
        "..", "../outside", "model/../../outside", "./model/../..", "/etc", "/", "~", "~root",
        "link", "link/secret.gguf", "./link", "owner/name", "../outside/secret.gguf",
        "no\0where.gguf", "../missing/thing", "owner/na\0me", "owner/na\nme", "\x1b[2J",
        "a" * 5000, "./" + "a" * 5000, "model/" * 2000 + "..", "file:///../../../etc",
    ],
)  # fmt: skip
def test_a_model_path_that_leads_out_is_refused(allowed: Path, text: str) -> None:
    with pytest.raises(AccessError, match="leads out of the folders"):
        places.model(text)


def test_paths_inside_and_names_of_models_go_through(allowed: Path) -> None:
    assert places.model("model") == str((allowed / "model").resolve())
    assert places.model("./model") == str((allowed / "model").resolve())
    assert places.model(str(config.cache_dir() / "x")) == str((config.cache_dir() / "x").resolve())
    for name in ("embedded", "fake", "minilm", "org/name", "org/name@main", ""):
        assert places.model(name) == name


@pytest.mark.attack(line="paths")
def test_a_folder_is_opened_by_allow_alone(allowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = allowed.parent / "outside"
    with pytest.raises(AccessError):
        places.inside(str(outside))
    monkeypatch.setenv(places.ALLOWED, f"{allowed}{os.pathsep}{outside}")
    assert places.inside(str(outside)) == outside.resolve()
    assert places.model("link/secret.gguf") == str((outside / "secret.gguf").resolve())
