"""The command line: a mistake is one line and exit code 2, a fault of ours leaves a log and 1."""

import errno
import io
import json
import os
import pty
import select
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from calls import FAKE, METHOD, ended, jsonl, parts, python, rows, sftlens, start

from core import cli, config, methods, policies, store

SELECT = ("select", "pool", "--method", METHOD, "--budget", "10")


PROGRESS = ("reading ", "measuring ", "base: ", "calibrated: ")  # lines of progress before it


def call(*words: object) -> tuple[int, str, str]:
    """`sftlens WORDS` in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["sftlens", *map(str, words)])
        patch.setattr(sys, "stdin", io.StringIO())
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as end:
            cli.main()
        signal.signal(signal.SIGTERM, before)
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue(), err.getvalue()


def done(*words: object) -> str:
    """Standard output of a command that must succeed."""
    code, out, err = call(*words)
    assert code == 0, err
    return out


def refused(*words: object) -> str:
    """The one line of a command that must be refused."""
    return one_line(*call(*words))


def one_line(code: int, out: str, err: str) -> str:
    told = [line for line in err.splitlines() if not line.startswith(" ")]  # samples shown first
    told = [line for line in told if " among the first 100 records" not in line]
    told = [line for line in told if not line.startswith(PROGRESS)]
    assert code == 2, err
    assert out == ""
    assert len(told) == 1, err
    assert told[0].startswith("error: ")
    assert "Traceback" not in err
    return told[0].removeprefix("error: ")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "pool.jsonl", rows(40))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store with an imported pool and one in which it is scored, each made once."""
    made = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(made / "cache"))
        done("import", jsonl(made / "pool.jsonl", rows(40)))
        shutil.copy(config.store_path(), made / "imported")
        done("score", "pool", METHOD, *FAKE)
        shutil.copy(config.store_path(), made / "scored")
    return {name: made / name for name in ("imported", "scored")}


@pytest.fixture
def imported(file: Path, stores: dict[str, Path]) -> Path:
    config.cache_dir().mkdir()
    shutil.copy(stores["imported"], config.store_path())
    return file


@pytest.fixture
def scored(imported: Path, stores: dict[str, Path]) -> Path:
    shutil.copy(stores["scored"], config.store_path())
    return imported


def content(name: str, body: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(body)
        return folder / name

    return write


CUT = json.dumps({"instruction": "Add 1 and 2", "output": "The sum is 3"})[:40].encode()
FILES = {
    "missing": (lambda folder: folder / "nowhere.jsonl", "there is no such file"),
    "empty": (content("a.jsonl", b""), "holds no records"),
    "blank": (content("a.jsonl", b"\n \n"), "holds no records"),
    "binary": (content("a.jsonl", bytes(range(256)) * 20), "a.jsonl"),
    "picture": (content("a.png", b"\x89PNG\r\n\x1a\n" + bytes(99)), "a.png"),
    "cut": (content("a.jsonl", CUT), "a.jsonl:1: is not JSON"),
    "cut parquet": (content("a.parquet", b"PAR1" + bytes(20)), "is not a Parquet file"),
    "cut gzip": (content("a.jsonl.gz", b"\x1f\x8b\x08" + bytes(5)), "is a broken gzip file"),
    "no shape": (content("a.jsonl", b'{"x": 1}\n'), "no record has a shape I know"),
    "folder": (lambda folder: folder, "is a folder"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read_is_one_line(case: str, tmp_path: Path) -> None:
    make, told = FILES[case]
    path = make(tmp_path)
    line = refused("import", path)
    assert told in line
    assert str(path) in line
    assert not config.store_path().exists()


def test_a_cut_line_among_good_ones_is_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    lines: list[Any] = rows(9)
    lines.insert(4, CUT.decode())
    code, out, err = call("import", jsonl(tmp_path / "a.jsonl", lines), "--pool", "pool")
    assert code == 0
    assert out == (
        "pool pool: read 10 = imported 9 + duplicates 0 + quarantined 1; now 9 samples\n"
    )
    assert f"quarantined {tmp_path / 'a.jsonl'}:5: is not JSON: " in err
    assert str(config.cache_dir() / "quarantine" / "pool-1.jsonl") in err


def budget(text: str) -> tuple[str, ...]:
    return (*SELECT[:-1], text, "--out", "out")


# words -> what the one line says; `FILE`, `FOLDER` and `OUT` stand for paths
MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("import", "FILE", "--map", "response=nope"), "has no column 'nope'. Its columns are instr"),
    (("import", "FILE", "--map", "nope=output"), "--map nope: is not a part of a sample"),
    (("import", "FILE", "--map", "response"), "--map takes NAME=VALUE. Got 'response'"),
    (("import", "FILE", "--pool", "a", "--query", "b"), "--pool or --query, not both"),
    (("import", "FILE", "--pool", "a/b"), "--pool: is not a name. Got 'a/b'"),
    (("import", "FILE", "--pool", "-a"), "is not a name"),
    (("import", "FILE", "--query", "pool"), "pool: is a pool, not a query set"),
    (("import", "FILE", "--limit", "0"), "Invalid value for '--limit'"),
    (("import",), "Missing argument 'FILES...'"),
    (("nonsense",), "No such command 'nonsense'"),
    (("score", "--nonsense"), "No such option"),
    (("score", "pool"), "Give a METHOD, or --all"),
    (("score", "pool", "nope"), "there is no method by this name. Got 'nope'. Use one of: answer"),
    (("score", "nope", METHOD), "nope: there is no pool by this name. Use one of: pool"),
    (("score", "pool", METHOD, "--set", "trim_low=0.5"), f"{METHOD}.trim_low: input should be les"),
    (("score", "pool", METHOD, "--set", "trim_low=x"), "Got 'x'"),
    (("score", "pool", METHOD, "--set", "trim_low=nan"), f"{METHOD}.trim_low: input should be"),
    (("score", "pool", METHOD, "--set", "text=x"), f"{METHOD}.text: input should be 'chat'"),
    (("score", "pool", METHOD, "--set", "nope=1"), f"{METHOD}.nope: there is no such parameter"),
    (("score", "pool", METHOD, "--set", "trim_low"), "--set takes NAME=VALUE"),
    (("score", "pool", METHOD, "--model", "nope"), "nope: is not a model I can find"),
    (("score", "pool", METHOD, "--model", "no/such/model"), "is not a model I can find"),
    (("score", "pool", METHOD, "--model", "org/name"), "org/name: the model hub cannot be reached"),
    (("score", "pool", METHOD, "--model", "org/name@v1"), "the model hub cannot be reached"),
    (("score", "pool", METHOD, "--model", "FOLDER"), "holds no config.json with safetensors"),
    (("score", "pool", METHOD, "--model", "no.gguf"), "no.gguf: there is no such file"),
    (("score", "pool", METHOD, "--model", "FILE"), "is not a model I can find"),
    (("score", "pool", METHOD, "--model", "fake", "--device", "tpu"), "is not a device I know"),
    (("score", "pool", METHOD, "--model", "fake", "--dtype", "int4"), "not a number format I know"),
    (("score", "pool", METHOD, "--max-tokens", "1"), "Invalid value for '--max-tokens'"),
    ((*SELECT, "--out", "OUT"), f"there is no {METHOD} run of this pool as it is now. Score it"),
    ((*SELECT, "--run", "a" * 20, "--out", "OUT"), "this run is not in the store"),
    ((*SELECT, "--run", "'; DROP", "--out", "OUT"), "this run is not in the store"),
    (("select", "nope", *SELECT[2:], "--out", "OUT"), "nope: there is no pool by this name"),
    (("select", "pool", "--method", "x", *SELECT[4:], "--out", "OUT"), "no method by this name"),
    (SELECT, "Missing option '--out'"),
    (("replay", "FILE"), "is not a manifest I can read"),
    (("replay", "nowhere.json"), "nowhere.json: there is no such file"),
    (("methods", "nope"), "there is no method by this name"),
    (("app", "--host", "not an address"), "--host: cannot be listened on"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=str)
def test_a_mistake_is_one_line_that_says_what_to_do(
    words: tuple[str, ...], told: str, imported: Path, tmp_path: Path
) -> None:
    places = {"FILE": imported, "FOLDER": tmp_path, "OUT": tmp_path / "out"}
    line = refused(*(places.get(word, word) for word in words))
    assert told in line
    assert line.endswith((".", "--help.")) or "Use one of" in line or "Its columns" in line
    assert not (tmp_path / "out").exists()


# options of `select` on a scored pool -> what the one line says
OF_SELECT: list[tuple[tuple[str, ...], str]] = [
    (("--budget", "0"), "--budget: must be more than 0. Got '0'. Give samples (160)"),
    (("--budget", "200%"), "--budget: is more than the whole pool. Got '200%'"),
    (("--budget", "-5"), "is not a budget"),
    (("--budget", "many"), "is not a budget"),
    (("--budget", "1.2.3"), "is not a budget"),
    (("--budget", "1,5%"), "is not a budget"),
    (("--budget", "2.5"), "must be a whole number"),
    (
        ("--policy", "best"),
        "--policy: there is no policy by this name. Got 'best'. Use one of: bands",
    ),
    (("--policy", "random", "--policy-set", "nope=1"), "random.nope: there is no such parameter"),
    (("--policy", "trim", "--policy-set", "low=2"), "trim.low: input should be less than 0.5"),
    (("--policy", "quotas"), f"--policy quotas: needs the group of each sample, which {METHOD}"),
    (("--rule", "nope<=1"), "rule nope: there is no such column. Use one of: base_entropy"),
    (("--rule", "n_tokens=1"), "--rule: is not a rule. Got 'n_tokens=1'. Write COLUMN<=NUMBER"),
    (("--set", "seed=7"), "these parameters need new measurements. Score again: sftlens score"),
    (("--set", "trim_low=9"), f"{METHOD}.trim_low: input should be less than 0.5"),
    (("--shape", "nope"), "Invalid value for '--shape'"),
    (("--out", "FILE"), "the files cannot be written"),
    (("--out", "FOLDER"), "the folder holds other files"),
]


@pytest.mark.parametrize(("words", "told"), OF_SELECT, ids=str)
def test_a_mistake_of_select_is_one_line_and_writes_nothing(
    words: tuple[str, ...], told: str, scored: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    places = {"FILE": scored, "FOLDER": tmp_path}
    given = [*SELECT, "--out", tmp_path / "out", *(places.get(word, word) for word in words)]
    assert told in refused(*given)
    assert sorted(tmp_path.iterdir()) == before


def test_policies_are_listed_with_what_they_need_and_their_parameters() -> None:
    listed = done("policies").splitlines()
    assert [line.split()[0] for line in listed] == list(policies.catalogue())
    assert next(line for line in listed if line.startswith("quotas")).endswith("(needs group)")
    shown = done("policies", "water_filling")
    assert all(name in shown for name in policies.build("water_filling").model_dump())
    assert "no policy by this name" in refused("policies", "nope")


def test_select_spends_as_the_method_does_unless_told_otherwise(
    scored: Path, tmp_path: Path
) -> None:
    done(*SELECT, "--out", tmp_path / "usual")
    done(*SELECT, "--policy", "random", "--policy-set", "seed=7", "--out", tmp_path / "drawn")
    usual, drawn = (
        json.loads((tmp_path / name / "manifest.json").read_text())["recipe"]
        for name in ("usual", "drawn")
    )
    assert usual["policy"] == methods.catalogue()[METHOD].policy
    assert "policy_params" not in usual
    assert (drawn["policy"], drawn["policy_params"]) == ("random", {"seed": 7})


def test_a_saved_recipe_is_chosen_by_its_name_and_printed_as_sql(
    scored: Path, tmp_path: Path
) -> None:
    from core.recipe import Recipe
    from core.rules import Search
    from core.store import recipes
    from core.store import runs as stored

    with store.connect(write=True) as con:
        run = stored.newest_run(con, "pool", METHOD)
        made = Recipe(pool="pool", method=METHOD, run_id=run.run_id, budget="3")
        recipes.save(con, "mine", made)
        recipes.save(con, "mine", made.model_copy(update={"rules": (Search(text="zebra"),)}))
    out = done("select", "pool", "--recipe", "mine@1", "--out", tmp_path / "a")
    assert "3  kept" in out
    assert "0  kept" in done("select", "pool", "--recipe", "mine", "--out", tmp_path / "b")
    printed = done("select", "pool", "--recipe", "mine", "--sql")
    with store.connect() as con:
        assert con.execute(printed).fetchall() == []
    assert "no recipe is saved" in refused("select", "pool", "--recipe", "nope", "--sql")
    assert "mixed" in refused("select", "pool", "--recipe", "mine", "--budget", "3", "--sql")


def test_a_mistake_before_anything_is_imported_says_so() -> None:
    for words in (("pools",), ("score", "pool", METHOD), (*SELECT, "--out", "out"), ("status",)):
        assert refused(*words).endswith(
            "there is no store yet. Import a file, or run: sftlens demo."
        )


def test_cuda_on_a_machine_without_is_one_line(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = refused("score", "pool", METHOD, "--model", "fake", "--device", "cuda")
    assert line == (
        "--device: no CUDA device can be used here. Got 'cuda'."
        " Use --device cpu, or install a CUDA build of torch."
    )


@pytest.mark.parametrize("command", ["import", "score", "pools"])
def test_a_cache_that_cannot_be_is_one_line(
    command: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTLENS_CACHE", str(file / "cache"))  # below a file: root cannot either
    words = {"import": ("import", file), "score": ("score", "pool", METHOD), "pools": ("pools",)}
    line = refused(*words[command])
    assert str(file / "cache") in line
    assert "set SFTLENS_CACHE to a folder" in line or "there is no store yet" in line


def test_a_store_of_a_newer_version_is_one_line(imported: Path) -> None:
    with store.connect(write=True) as con:
        con.execute("INSERT INTO migrations VALUES (99, 'later', now())")
    for words in (("pools",), ("import", imported), ("score", "pool", METHOD, *FAKE)):
        line = refused(*words)
        assert line.startswith(f"{config.store_path()}: the store was written by a newer SFTLens.")
        assert line.endswith("Update SFTLens, or set SFTLENS_CACHE to another folder.")


def test_an_import_onto_a_full_disk_is_one_line_and_nothing_is_half_there(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    path = jsonl(tmp_path / "pool.jsonl", rows(6000))
    for kb in (400, 900, 1400):
        small_disk(kb)
        ended = sftlens("import", path)
        line = one_line(ended.returncode, ended.stdout, ended.stderr)
        assert "Free some space" in line, line
    small_disk(64_000)
    if config.store_path().exists():
        assert done("pools") == ""
    assert "imported 6,000 + duplicates 0" in done("import", path)


def test_scoring_onto_a_full_disk_is_one_line_and_goes_on_when_there_is_room(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    path = jsonl(tmp_path / "pool.jsonl", rows(400))
    small_disk(64_000)
    done("import", path)
    used = sum(p.stat().st_size for p in config.cache_dir().rglob("*") if p.is_file()) // 1024
    for spare in (12, 60):
        small_disk(used + spare)
        ended = sftlens("score", "pool", METHOD, *FAKE)
        line = one_line(ended.returncode, ended.stdout, ended.stderr)
        assert "Free some space" in line, line
    small_disk(64_000)
    assert "of 400 samples scored" in done("score", "pool", METHOD, *FAKE)


def test_a_run_that_cannot_be_stored_is_one_line_and_keeps_what_it_measured(
    small_disk: Callable[[int], None], tmp_path: Path
) -> None:
    small_disk(64_000)
    done("import", jsonl(tmp_path / "pool.jsonl", rows(3000)))
    unscored = shutil.copy(config.store_path(), tmp_path / "unscored")
    done("score", "pool", METHOD, *FAKE)
    shutil.copy(unscored, config.store_path())
    measured = parts()
    used = sum(p.stat().st_blocks for p in config.cache_dir().rglob("*")) // 2  # kB
    small_disk(used + 60)  # room for a status file, not for 3,000 scores
    ended = sftlens("score", "pool", METHOD, *FAKE)
    line = one_line(ended.returncode, ended.stdout, ended.stderr)
    assert line.startswith(f"{config.store_path()}: the store cannot be written.")
    small_disk(64_000)
    assert "2,400 of 3,000 samples scored" in done("score", "pool", METHOD, *FAKE)
    assert parts() == measured


def test_an_export_onto_a_full_disk_names_its_own_folder(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import export

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(export, "_write", full)
    line = refused(*SELECT, "--out", tmp_path / "out")
    assert line.startswith(f"{tmp_path / 'out'}: the files cannot be written.")
    assert "No space left" in line


FAULTY = """
from core import cli, pools
def broken(*_):
    raise KeyError("ours")
pools.preview = broken
cli.main()
"""


def test_a_fault_of_ours_is_one_line_that_names_a_log_with_the_traceback(
    file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "faulty.py"
    script.write_text(FAULTY)
    code, out, err = ended(python(str(script), "import", str(file), PYTHONPATH=str(config.ROOT)))
    assert (code, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith("error: a fault of SFTLens, not yours: KeyError. Log: ")
    log = Path(line.partition("Log: ")[2])
    assert log.parent == config.cache_dir() / "logs"
    told = log.read_text("utf8")
    assert "Traceback (most recent call last)" in told
    assert "KeyError: 'ours'" in told
    assert str(file) in told


def commands() -> list[tuple[str, ...]]:
    return [(), *((name,) for name in cli.cli.commands)]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_command(command: tuple[str, ...], flag: str) -> None:
    out = done(*command, flag)
    assert out.startswith(f"Usage: {' '.join(['sftlens', *command])} ")
    for option in cli.cli.commands[command[0]].params if command else ():
        for name in option.opts if option.param_type_name == "option" else ():
            assert name in out


def test_no_command_shows_the_help() -> None:
    out = done()
    assert out.startswith("Usage: sftlens ")
    assert all(f"\n  {name} " in out for name in cli.cli.commands)


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    script = """
import sys, core.cli
heavy = {"torch", "transformers", "streamlit", "duckdb", "pandas", "pyarrow", "rich"}
print(sorted(heavy & set(sys.modules)))
"""
    assert ended(python("-c", script)) == (0, "[]\n", "")


def test_a_whole_session_by_process(file: Path, tmp_path: Path) -> None:
    assert sftlens("import", file).stdout.startswith("pool pool: read 40 = imported 40 ")
    assert sftlens("pools").stdout.split()[:4] == ["pool", "pool", "40", "samples"]
    scored = sftlens("score", "pool", METHOD, *FAKE)
    assert scored.returncode == 0
    assert "32 of 40 samples scored, took" in scored.stdout
    out = tmp_path / "out"
    selected = sftlens(*SELECT, "--out", out, "--scores", "--rejected")
    assert selected.stdout.splitlines()[0].split() == ["10", "kept"]
    assert f"again: sftlens replay {out}/manifest.json" in selected.stdout
    replayed = sftlens("replay", out / "manifest.json")
    assert replayed.stdout == (f"identical: subset.jsonl, rejected.jsonl in {out / 'replay'}\n"), (
        replayed.stderr
    )
    status = sftlens("status").stdout
    assert status.startswith("done     pool differential_entropy: 32 of 40 scored in")
    assert METHOD in sftlens("methods").stdout
    assert "trim_low" in sftlens("methods", METHOD).stdout


def at_a_terminal(answer: str, *words: object) -> tuple[int, str]:
    """Exit code of `sftlens WORDS` at a terminal where a person types `answer`, and its screen."""
    pid, screen = pty.fork()
    if pid == 0:  # the child: nothing but exec, so that no thread of ours matters
        os.execv(sys.executable, [sys.executable, "-m", "core.cli", *map(str, words)])
    seen, asked = b"", False
    try:
        while True:
            told = select.select([screen], [], [], 2.0)[0]
            if told:
                if not (chunk := os.read(screen, 4096)):
                    break
                seen += chunk
            # A key between the question and the reading of its answer may be lost: type it again.
            if b"[Y/n]" in seen and (not asked or not told):
                asked = True
                os.write(screen, answer.encode())
    except OSError as error:  # how Linux says that the other side has closed
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode("utf8")


@pytest.mark.parametrize(("answer", "samples"), [("n\n", 0), ("y\n", 40), ("\n", 40)])
def test_import_asks_at_a_terminal_and_obeys(answer: str, samples: int, file: Path) -> None:
    code, screen = at_a_terminal(answer, "import", file)
    assert code == 0
    assert "Import into pool 'pool'?" in screen
    if not samples:
        assert "nothing was imported" in screen
        assert not config.store_path().exists()
    else:
        assert f"imported {samples} + duplicates 0" in screen


def test_import_at_a_terminal_can_be_told_not_to_ask(file: Path) -> None:
    code, screen = at_a_terminal("", "import", file, "--yes")
    assert code == 0
    assert "[Y/n]" not in screen
    assert "imported 40" in screen


def test_ctrl_c_at_the_question_imports_nothing(file: Path) -> None:
    code, screen = at_a_terminal("\x03", "import", file)
    assert code == 130
    assert "Traceback" not in screen
    assert not config.store_path().exists()


def test_a_reader_that_goes_away_is_no_error(imported: Path) -> None:
    for words in (("pools",), ("methods",), ("--help",)):
        process = start(*words)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()
        assert process.wait() == 0


def test_what_a_sample_says_to_the_terminal_is_not_obeyed(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"instruction": "clear \x1b[2J", "output": "\x07\x9b1m"}])
    code, out, err = call("import", path)
    assert code == 0
    assert (out + err).replace("\n", "").isprintable()
