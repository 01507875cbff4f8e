"""kill -9 at drawn moments of every command that writes: the second call ends as if undisturbed.

The long form: python -m benchmarks.kills.
"""

import random
from itertools import islice

import pytest

from benchmarks import kills
from benchmarks.undisturbed import STEPS, World, prepare


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return prepare(tmp_path_factory.mktemp("world"), 1500)


def test_a_command_killed_at_any_moment_is_called_again_and_nothing_is_missing(
    world: World, report: list[str]
) -> None:
    seed = random.randrange(2**31)
    report.append(f"kills were drawn with seed {seed}: python -m benchmarks.kills --seed {seed}")
    moments = list(islice(kills.draws(seed), len(STEPS)))
    found = {step: kills.trial(world, step, part)[1] for step, part in moments}
    assert found == {step: [] for step in STEPS}


def test_a_difference_would_be_seen(world: World) -> None:
    for path in (world.after("export") / "out").glob("subset*"):
        path.write_bytes(path.read_bytes()[:-9])
    half = world.before("export") / "cache" / "spool" / "import-0.parquet"
    half.parent.mkdir(exist_ok=True)
    half.touch()
    bytes_, left = kills.trial(world, "export", 0.5)[1]
    assert bytes_ == "other bytes in subset.jsonl"
    assert left.startswith("half-made files: ")
