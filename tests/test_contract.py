"""What holds for a run of every method: nothing about how it was measured changes a score."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from calls import FAKE, ended, jsonl, rows, start

from core import blocks, config, pools, runs, signals, store
from core.blocks import Block, Task
from core.domain import RunSpec
from core.engines.fake import FakeEngine
from core.errors import MethodError, PoolError
from core.executors import Executor, Serial
from core.executors.processes import Processes
from core.methods import build, catalogue
from core.policies import catalogue as policies
from core.policies.budget import Budget
from core.recipe import Recipe
from core.selection import select
from core.store import pools as stored_pools
from core.store import runs as stored
from core.subset import missing

NAMES = [name for name, cls in catalogue().items() if cls.measures]
N, M = 30, 4
LIGHT: dict[str, dict[str, Any]] = {
    "gradient_similarity": {"checkpoints": 2, "width": 64},
    "loss_trajectory": {"checkpoints": 2, "clusters": 4},
}
Table = dict[str, tuple[Any, ...]]


def choices(n: int) -> list[dict[str, Any]]:
    """Multiple-choice records."""
    options = {"A": "red", "B": "blue", "C": "green", "D": "none of them"}
    return [
        {"question": f"Colour {k}?", "options": options, "answer_idx": "ABCD"[k % 4]}
        for k in range(n)
    ]


def make(records: Sequence[Any], queries: int = M) -> None:
    folder = config.cache_dir().parent
    pools.import_files([jsonl(folder / "pool.jsonl", records)], "pool")
    if queries:
        pools.import_files([jsonl(folder / "q.jsonl", rows(queries, 900))], "query", "query")


def spec_of(name: str, **params: Any) -> RunSpec:
    query = "query" if build(name).needs_query() else ""
    return RunSpec("pool", name, params, model="fake", device="cpu", query=query)


def scored(name: str, executor: Executor | None = None, **params: Any) -> Table:
    """Every stored number of a run, by sample id."""
    run = runs.execute(spec_of(name, **params), executor=executor).run
    with store.connect() as con:
        columns = stored.run_columns(con, run.run_id)
        ids = stored_pools.get_pool(con, "pool").sample_ids
        reasons = con.execute(f"SELECT reason FROM run_{run.run_id} ORDER BY position").fetchall()
    columns.pop("position")
    return {
        i: (reasons[k][0], {name: column[k] for name, column in columns.items()})
        for k, i in enumerate(ids)
    }


def equal(a: Table, b: Table) -> None:
    assert a.keys() == b.keys()
    for sample_id, (reason, numbers) in a.items():
        assert b[sample_id][0] == reason
        assert b[sample_id][1].keys() == numbers.keys()
        for name, number in numbers.items():
            np.testing.assert_allclose(b[sample_id][1][name], number, rtol=1e-6, err_msg=name)


@pytest.fixture
def elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def move(name: str) -> None:
        monkeypatch.setenv("SFTLENS_CACHE", str(tmp_path / name))

    return move


class Backwards:
    """An executor that takes the blocks from the other end."""

    def map(self, task: Task, planned: Sequence[Block]) -> Iterator[Block]:
        return map(task, planned[::-1])


RECORDS = [*rows(N), *choices(8), {"instruction": "too long", "output": "word " * 5000}]


@pytest.mark.parametrize("name", NAMES)
def test_order_blocks_executor_and_a_kill_change_no_score(
    name: str, elsewhere: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(RECORDS)
    right = scored(name)
    assert any(reason is None for reason, _ in right.values())
    elsewhere("turned")
    make(RECORDS[::-1])
    equal(scored(name), right)
    elsewhere("backwards")
    make(RECORDS)
    equal(scored(name, Backwards()), right)
    elsewhere("processes")
    make(RECORDS)
    with Processes(2) as executor:
        equal(scored(name, executor), right)
    elsewhere("small blocks")
    make(RECORDS)
    with monkeypatch.context() as patch:
        patch.setattr(FakeEngine, "block_tokens", 40)
        patch.setattr(signals.Answers, "per_block", 3)
        equal(scored(name), right)
    elsewhere("killed")
    make(RECORDS)
    _killed_now_and_then(name, monkeypatch)
    equal(scored(name), right)


def _killed_now_and_then(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the run a few times and interrupt it after its second part."""
    write, written = blocks.write_part, []

    def dies(*args: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        write(*args)
        written.append(args)

    with monkeypatch.context() as patch:
        patch.setattr(FakeEngine, "block_tokens", 100)
        patch.setattr(blocks, "write_part", dies)
        for _ in range(3):
            written.clear()
            try:
                runs.execute(spec_of(name), executor=Serial())
            except KeyboardInterrupt:
                continue


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_is_enough(name: str) -> None:
    make(rows(1) if name != "answer_entropy" else choices(1))
    [(reason, numbers)] = scored(name).values()
    assert (reason is None) == np.isfinite(numbers["value"])


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_response_has_a_reason_or_a_number(name: str) -> None:
    make([*rows(5), {"messages": [{"role": "user", "content": "Say nothing"}]}, *choices(3)])
    for reason, numbers in scored(name).values():
        assert (reason is None) == np.isfinite(numbers["value"])


def test_a_method_with_queries_refuses_to_run_without_them() -> None:
    make(rows(3))
    name = "gradient_similarity"
    for query, error in (("", MethodError), ("pool", PoolError), ("nobody", PoolError)):
        with pytest.raises(error) as caught:
            runs.execute(RunSpec("pool", name, model="fake", device="cpu", query=query))
        assert "\n" not in str(caught.value)
    with pytest.raises(MethodError, match="needs a query set"):
        runs.execute(RunSpec("pool", name, model="fake", device="cpu"))


POLICIES = {name: cls for name, cls in policies().items()}


@pytest.mark.parametrize("budget", ["5", "20%", "40 tokens", "15% tokens"])
def test_every_policy_spends_a_budget_on_a_run_that_gives_what_it_needs(budget: str) -> None:
    make([*rows(N), *choices(8)])
    offered: dict[str, set[str]] = {}
    for name in ("gradient_similarity", "answer_divergence", "loss_trajectory", "answer_entropy"):
        run = runs.execute(spec_of(name, **LIGHT.get(name, {}))).run
        ranked = select(recipe_of(run, "top", "100%"))
        offered[name] = {p for p, cls in POLICIES.items() if not missing(cls, ranked.scores)}
        for policy in offered[name]:
            chosen = select(recipe_of(run, policy, budget)).subset
            assert len(set(chosen.chosen.tolist())) == len(chosen.chosen)
            assert np.isfinite(ranked.scores.value[chosen.chosen]).all()
            spent = chosen.tokens if "tokens" in budget else len(chosen.chosen)
            limit = Budget.parse(budget).limit(chosen.n, chosen.n_tokens)
            assert spent <= limit
            assert (
                chosen.counts()["kept"] + sum(v for k, v in chosen.counts().items() if k != "kept")
                == chosen.n
            )
    assert set.union(*offered.values()) == set(POLICIES)


def test_the_features_of_a_run_are_the_weighted_cosines_of_its_vectors() -> None:
    make(rows(N))
    run = runs.execute(spec_of("gradient_similarity", **LIGHT["gradient_similarity"])).run
    made = select(recipe_of(run, "knn_kde", "5"))
    assert made.scores.features is not None
    some = np.array([4, 1, 9])
    found = made.scores.features[some]
    product = found @ found.T
    rates = [made.columns[f"rate_{k}"][0] for k in (3, 4)]
    right = np.zeros((3, 3))
    for k, rate in zip((3, 4), rates, strict=True):
        folder = config.folder("blocks") / run.card["parts"][f"pool_{k}"]
        ids = [made.ids[row] for row in some]
        unit = blocks.gather(folder, ids, "gradient")["gradient"].astype(float)
        right += rate / sum(rates) * (unit @ unit.T)
    np.testing.assert_allclose(product, right, atol=1e-3)


def recipe_of(run: stored.Run, policy: str, budget: str) -> Recipe:
    return Recipe(pool=run.pool, method=run.method, run_id=run.run_id, policy=policy, budget=budget)


def test_all_methods_share_one_warm_up_and_one_base_pass() -> None:
    make(RECORDS)
    spec = RunSpec("pool", "", model="fake", device="cpu", query="query")
    finished = list(runs.execute_all(spec))
    assert [f.run.method for f in finished] == NAMES
    cards = {f.run.method: f.run.card for f in finished}
    calibrated = cards["differential_entropy"]["checkpoints"]["calibrated"]["key"]
    gradients = cards["gradient_similarity"]["checkpoints"]
    assert calibrated in {card["key"] for card in gradients.values()}
    base = {card["parts"]["base"] for card in cards.values() if "base" in card["parts"]}
    assert len(base) == 1
    assert all(again.reused for again in runs.execute_all(spec))


def test_a_row_of_runs_keeps_other_scorers_out_between_two_of_them() -> None:
    make(RECORDS)
    going = runs.execute_all(RunSpec("pool", "", model="fake", device="cpu", query="query"))
    next(going)
    second = start("score", "pool", "random", *FAKE)
    code, _, line = ended(second)
    assert code == 2
    assert "is being scored by" in line
    going.close()
    assert ended(start("score", "pool", "random", *FAKE))[0] == 0


def test_without_queries_the_methods_that_need_them_are_left_out() -> None:
    make(RECORDS, queries=0)
    spec = RunSpec("pool", "", model="fake", device="cpu")
    left_out = [name for name in NAMES if build(name).needs_query()]
    done = [f.run.method for f in runs.execute_all(spec)]
    assert done == [name for name in NAMES if name not in left_out]
    assert left_out


def test_a_parameter_for_all_goes_where_it_belongs() -> None:
    spec = RunSpec("pool", "", {"seed": "7", "loss_trajectory.clusters": "3"}, query="query")
    chosen = {m.name: m.model_dump() for m in runs.chosen_for_all(spec)}
    assert {p["seed"] for p in chosen.values() if "seed" in p} == {7}
    assert chosen["loss_trajectory"]["clusters"] == 3
    with pytest.raises(MethodError, match="no method has such a parameter"):
        runs.chosen_for_all(RunSpec("pool", "", {"nonsense": "1"}))


def test_a_wrong_query_set_stops_all_before_the_first_method() -> None:
    make(RECORDS)
    spec = RunSpec("pool", "", model="fake", device="cpu", query="nobody")
    with pytest.raises(PoolError, match="no pool by this name"):
        next(runs.execute_all(spec))


@pytest.mark.parametrize("name", ["random", "length"])
def test_a_run_belongs_to_the_model_that_counted_its_tokens(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import models

    make(RECORDS)
    first = runs.execute(RunSpec("pool", name, model="fake", device="cpu"))
    other = models.Checkpoint("other", "other", "", "other")
    monkeypatch.setattr(models, "resolve", lambda name, progress=None: other)
    again = runs.execute(RunSpec("pool", name, model="other", device="cpu"))
    assert not again.reused
    assert again.run.run_id != first.run.run_id
