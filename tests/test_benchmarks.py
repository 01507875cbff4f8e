"""The suite's frame: what a row says, when it counts, and when a race is thrown out."""

import json
from itertools import count

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as suite
from benchmarks.suite import corpus, gradients, machine
from benchmarks.suite.bench import AGAIN, Bench
from benchmarks.suite.rows import HEAD, Row, table
from benchmarks.suite.selecting import scan
from benchmarks.suite.slopes import Stage, slopes
from benchmarks.suite.stages import LENGTHS, alike
from core.errors import ModelError


class Clock:
    """Time that passes only when work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float, calls: list[str], name: str):
        def run() -> None:
            calls.append(name)
            self.now += seconds

        return run


def bench(*ceilings: float, clock: Clock | None = None) -> Bench:
    """A bench whose ceilings are these, the last one for ever."""
    given = iter(ceilings)
    last = ceilings[-1] if ceilings else 100.0
    made = Bench(clock=clock or Clock(), gemm=lambda dtype: next(given, last))
    made.__dict__["hardware"] = "a machine of glass"
    return made


def raced(*ceilings: float, **options):
    clock, calls = Clock(), []
    on = bench(*ceilings, clock=clock)
    race = on.race(clock.work(2, calls, "ours"), clock.work(12, calls, "theirs"), **options)
    return on, race, calls


def test_a_race_takes_turns_and_its_ratio_is_theirs_over_ours():
    _, race, calls = raced(rounds=3)
    assert (race.ratio, race.ours_s, race.theirs_s) == (6, 2, 12)
    assert calls == ["theirs", "ours"] * 4  # the first pair is the warm-up
    assert raced(rounds=2, warm=False)[2] == ["theirs", "ours"] * 2
    assert race.ceiling == 100


def test_a_ratio_is_for_one_unit_of_work_each():
    assert raced(units=(10_000, 100))[1].ratio == pytest.approx(600)


def test_a_race_is_run_again_when_the_ceiling_moved():
    on, race, calls = raced(100, 80, 100, 95, rounds=1, warm=False)
    assert race.valid
    assert race.drift == pytest.approx(0.05)
    assert calls == ["theirs", "ours"] * 2
    assert on.row("b0", "", race.ratio, 5, True).met


def test_a_race_that_never_finds_a_steady_machine_makes_its_row_invalid():
    on, race, calls = raced(*(100, 80) * 5, rounds=1, warm=False)
    assert not race.valid
    assert len(calls) == 2 * (1 + AGAIN)
    row = on.row("b0", "", race.ratio, 5, True)
    assert (row.valid, row.met, row.verdict()) == (False, False, "drifted")
    assert row.drift == pytest.approx(0.2)
    assert on.row("b0", "", 6, 5, True).valid  # the next row has races of its own


@pytest.mark.parametrize(
    ("ratio", "target", "at_most", "reached"),
    [
        (5.5, 5.5, False, True),
        (5.49, 5.5, False, False),
        (1.03, 1.03, True, True),
        (1.04, 1.03, True, False),
        (0.94, (0.95, 1.05), False, False),
        (1.0, (0.95, 1.05), False, True),
        (1.06, (0.95, 1.05), False, False),
        (0.0, None, False, True),
        (float("nan"), 5.5, False, False),
    ],
)
def test_a_row_is_met_when_its_target_is(ratio, target, at_most, reached):
    assert bench().row("b0", "", ratio, target, True, at_most=at_most).met == reached


def test_a_gate_that_failed_fails_the_row_whatever_its_ratio():
    row = bench().row("b0", "far too good", 1000, 5, gate=False)
    assert not row.met
    assert row.verdict() == "wrong"
    assert "FAIL" in row.line()


def words(line: str) -> str:
    return " ".join(line.split())


def test_the_table_and_the_file_say_what_the_rows_say(tmp_path):
    def work(on):
        yield on.row("b0", "quick against slow", 5.52, 5.5, True, fraction=0.41, note="of wood")
        yield on.row("b0b", "memory", 0.04, 0.05, True, at_most=True)
        yield on.row("b0c", "slope", 1.2, (0.95, 1.05), True)

    rows = suite.measure(bench(), [work], tmp_path / "rows.json")
    lines = table(rows).splitlines()
    assert lines[:2] == ["a machine of glass", HEAD]
    assert words(lines[2]) == "b0 5.52 >= 5.50 0.41 ok met quick against slow"
    assert words(lines[3]) == "of wood"
    assert words(lines[4]) == "b0b 0.040 <= 0.050 ok met memory"
    assert words(lines[5]) == "b0c 1.200 0.950 to 1.050 ok short slope"
    written = json.loads((tmp_path / "rows.json").read_text("utf8"))
    assert [(r["id"], r["ratio"], r["met"]) for r in written] == [
        (row.id, row.ratio, row.met) for row in rows
    ]
    assert written[2]["target"] == [0.95, 1.05]
    assert all(r["hardware"] == "a machine of glass" and r["gate"] is True for r in written)


def test_a_measurement_that_breaks_is_a_failed_row_and_the_others_go_on(caplog):
    def broken(on):
        yield on.row("b0", "", 9, 5, True)
        raise ZeroDivisionError("of all things")

    def other(on):
        yield on.row("b1", "", 9, 5, True)

    rows = suite.measure(bench(), [broken, other])
    assert [(row.id, row.met) for row in rows] == [("b0", True), ("broken", False), ("b1", True)]
    assert rows[1].note == "ZeroDivisionError: of all things"
    assert "broken broke" in caplog.text


def test_what_a_person_can_mend_ends_it_with_one_line(monkeypatch):
    def without_model(on):
        raise ModelError("embedded", "cannot be fetched", do="Use --random.")
        yield

    monkeypatch.setattr(suite, "every", lambda: {"b1": without_model})
    result = CliRunner().invoke(suite.main, ["b1"])
    assert result.exit_code == 1
    assert result.output.endswith("Error: embedded: cannot be fetched. Use --random.\n")


def test_an_unknown_name_is_refused_with_one_line(monkeypatch):
    monkeypatch.setattr(suite, "every", lambda: {"b1": iter, "b1b": iter})
    result = CliRunner().invoke(suite.main, ["b1", "b77"])
    assert result.exit_code == 2
    line = result.output.splitlines()[-1]
    assert line == "Error: Invalid value: b77: is no benchmark. Use: b1, b1b."


def test_a_measurement_that_two_names_share_runs_once():
    def both(on): ...
    def alone(on): ...

    known = {"b1": both, "b1b": both, "b2": alone}
    assert suite.chosen((), known) == [both, alone]
    assert suite.chosen(("b1b", "b1"), known) == [both]
    assert suite.chosen(("b2", "b1"), known) == [alone, both]


def test_the_corpus_is_fixed_by_its_seed_and_a_larger_one_begins_with_it():
    few = corpus.corpus(40)
    assert few == corpus.corpus(40)
    assert few == corpus.corpus(90)[:40]
    assert [s.sample_id for s in few] != [s.sample_id for s in corpus.corpus(40, seed=1)]
    assert len({s.sample_id for s in few}) == 40


def test_lengths_of_the_corpus_are_lognormal():
    sizes = np.array([len(s.response.split()) for s in corpus.corpus(4000)])
    median, sigma = corpus.RESPONSE
    inner = sizes[(sizes > corpus.FEWEST) & (sizes < corpus.MOST)]
    assert np.median(sizes) == pytest.approx(median, rel=0.05)
    assert np.log(inner).std() == pytest.approx(sigma, rel=0.05)
    skew = ((np.log(inner) - np.log(inner).mean()) ** 3).mean() / np.log(inner).std() ** 3
    assert abs(skew) < 0.2  # of the sizes themselves it is above 2


def test_the_format_that_counts_has_the_plain_name(monkeypatch):
    monkeypatch.setattr(machine, "flags", lambda: {"amx_bf16"})
    with_amx = Bench()
    assert (with_amx.name("b1", "bf16"), with_amx.name("b1", "fp32")) == ("b1", "b1.fp32")
    monkeypatch.setattr(machine, "flags", lambda: {"avx512_bf16"})
    without = Bench()
    assert (without.name("b1", "bf16"), without.name("b1", "fp32")) == ("b1.bf16", "b1")
    assert without.precisions()[0].dtype == "fp32"


def test_seconds_and_ceilings_come_from_a_clock():
    steps = count()
    on = Bench(clock=lambda: float(next(steps)))
    assert on.seconds(lambda: None) == 1
    assert machine.gemm(Bench().precisions()[0], lambda: float(next(steps))) > 0
    assert on.size(2, 9) == 9
    assert Bench(quick=True).size(2, 9) == 2


def test_a_row_holds_the_seconds_of_its_last_race():
    on, race, _ = raced()
    row = on.row("b0", "", race.ratio, 5, True)
    assert (row.ours_s, row.theirs_s) == (2, 12)
    assert Row("b0", "", 1, None, True).ours_s is None


def power(clock: Clock, exponent: float, start_s: float = 0.0):
    """Work whose seconds are n^exponent millionths, after a start."""

    def make(n: int):
        return clock.work(start_s + 1e-6 * n**exponent, [], "")

    return make


def test_the_slope_of_a_power_is_its_exponent_and_a_start_is_taken_off():
    clock = Clock()
    stages = [
        Stage("line", power(clock, 1.0), 100, 1000),
        Stage("square", power(clock, 2.0), 100, 1000),
        Stage("opened", power(clock, 1.0, start_s=5.0), 10_000, 10_000, opens=True),
        Stage("by nature", power(clock, 1.9), 100, 1000, linear=False),
        Stage("nothing", power(clock, 0.5), 1000, 1000),
    ]
    rows = {row.id: row for row in slopes(bench(clock=clock), stages)}
    found = [round(rows[f"b11.{stage.name}"].ratio, 2) for stage in stages]
    assert found == [1.0, 2.0, 1.0, 1.9, 0.5]
    assert [rows[f"b11.{stage.name}"].met for stage in stages] == [True, False, True, True, True]
    assert rows["b11"].ratio == pytest.approx(2)  # the farthest that should be linear
    assert not rows["b11"].met
    assert rows["b11"].note == "outside: square"  # what takes no time is not counted


def test_samples_alike_are_different_samples_of_the_same_lengths():
    many = alike(2 * LENGTHS)
    sizes = [len(s.response.split()) for s in many]
    assert sizes[:LENGTHS] == sizes[LENGTHS:]
    assert len({s.sample_id for s in many}) == len(many)


def test_a_scan_takes_for_each_query_the_closest_that_is_left():
    closeness = np.array([[9, 8, 1, 0], [9, 7, 8, 0]], np.float32)
    assert scan(closeness, 4) == [0, 2, 1, 3]


@pytest.mark.parametrize("name", ["b1", "b2", "b3", "b3b", "b4", "b5"])
def test_a_row_runs_to_its_end_and_float32_is_right_on_a_small_random_model(name, monkeypatch):
    monkeypatch.setattr(gradients, "RANKS", (8,))
    on = Bench(quick=True, gemm=lambda dtype: 1.0)
    on.checkpoint = corpus.random_checkpoint("small")
    rows = list(suite.every()[name](on))
    assert rows
    # how bf16 ranks the texts of a random model says nothing
    wrong = [row.line() for row in rows if not (row.gate or "bf16" in row.what)]
    assert not wrong
    assert all(row.ratio > 0 for row in rows)
