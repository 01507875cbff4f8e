"""The commands of `benchmarks.size` on few samples: counts balance, and a wrong one is told."""

import pytest

from benchmarks import size
from benchmarks.suite import balance, step


@pytest.fixture
def shape(monkeypatch):
    """Copies and broken records among few, too."""
    for module in (balance, step):
        monkeypatch.setattr(module, "COPY", 20)
        monkeypatch.setattr(module, "BROKEN", 50)


def test_a_step_runs_in_its_own_process_and_tells_its_memory_and_counts(tmp_path):
    found = size.steps(tmp_path, 1_200)[0]
    step.records(tmp_path / "records-0.jsonl", 1_200, 0)
    said, peak, code = size._ran(tmp_path, found.words)
    assert code == 0
    assert found.check(said) == ""
    assert peak > 0.05  # of this process, too, until the other has begun
    assert found.check(said.replace("imported 1,200", "imported 1,199")) != ""


def test_every_step_has_a_bound_that_grows_with_the_samples_and_a_check(tmp_path):
    few, many = size.steps(tmp_path, 1_000), size.steps(tmp_path, 1_000_000)
    assert [s.name.split()[0] for s in few] == [s.name.split()[0] for s in many]
    for one, other in zip(few, many, strict=True):
        assert one.bound < other.bound < 6
        assert one.check("nothing of the kind") != ""


def test_checks_tell_what_does_not_add_up():
    books = balance.books(0, 2_000, 10)
    said = (
        "pool size: read 2,003 = imported 2,000 + duplicates 2 + quarantined 1; now 2,010 samples"
    )
    assert books(said) == ""
    assert books(said.replace("2,010", "2,009")) != ""
    assert balance.scored(5)("run 1: x, 4 of 5 samples scored, took 1 s") == ""
    assert balance.scored(5)("run 1: x, 4 of 6 samples scored, took 1 s") != ""
    kept = balance.kept(1_010, 1_000)
    said = "    1,000  kept\n       10  budget: more\n/x/subset.jsonl: 1,000 rows, SHA-256 1\n"
    assert kept(said) == ""
    assert kept(said.replace("   10 ", "    9 ")) != ""
    assert kept(said.replace("1,000 rows", "999 rows")) != ""
    assert balance.same("identical: subset.jsonl in x") == ""
    assert balance.same("subset.jsonl: 3 rows, 4 expected") != ""


def test_invented_records_are_other_ones_from_another_number_on(tmp_path, shape):
    first, then = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    step.records(first, 100, 0)
    step.records(then, 40, 100)
    lines = first.read_text("utf8").splitlines()
    assert len(lines) == 100 + 5 + 2
    assert not {*lines} & {*then.read_text("utf8").splitlines()}
