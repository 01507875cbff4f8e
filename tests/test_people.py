"""What people save: recipes with versions, reviews, and links that say a recipe."""

import base64
import json
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import pools, store
from core.errors import BudgetError, PoolError
from core.ids import Ids
from core.links import pack, unpack
from core.recipe import Distinct, Pin, Recipe
from core.rules import Among, Lasso, Range, Search
from core.store import pools as stored_pools
from core.store import recipes, reviews
from core.store.reviews import Review

BASE = Recipe(pool="p", method="m", run_id="a" * 20)
FULL = BASE.model_copy(
    update={
        "params": {"trim_low": 0.05},
        "rules": (
            Range(column="x", low=-0.25),
            Range(column="score", high=1e-9, run="b" * 20),
            Among(column="source", values=("a", "é"), keep=False),
            Lasso(map_id="c" * 20, polygon=((0, 0), (1.5, 0), (0, 2))),
            Search(text="x'\"%"),
        ),
        "quotas": {"a": 3},
        "pins": (Pin(sample_id="d" * 20, keep=True), Pin(sample_id="e" * 20, keep=False)),
        "distinct": Distinct(map_id="c" * 20, threshold=0.9),
    }
)


@pytest.mark.parametrize("recipe", [BASE, FULL])
def test_a_link_brings_the_same_recipe_back(recipe):
    text = pack(recipe)
    assert unpack(text) == recipe
    assert unpack(text).key == recipe.key
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_recipe_that_uses_nothing_new_has_the_key_it_always_had():
    assert set(BASE.plain()) == {"pool", "method", "run_id", "params", "rules", "policy", "budget"}
    with_range = BASE.model_copy(update={"rules": (Range(column="x", low=1),)})
    assert with_range.plain()["rules"] == [{"column": "x", "low": 1.0, "high": None}]
    assert len({BASE.key, with_range.key, FULL.key}) == 3


def packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(raw)).decode().rstrip("=")


HOSTILE = [
    "",
    "x",
    "!!!",
    "é" * 5,
    "A" * 30_000,
    packed(b"[" * 100_000),
    packed(b"{}"),
    packed(b"null"),
    packed(b'"x"'),
    packed(b"\xff"),
    packed(b" " * 10_000_000),
    packed(json.dumps(BASE.plain() | {"nope": 1}).encode()),
    packed(json.dumps(BASE.plain() | {"rules": [{"column": "x", "low": "1e999"}]}).encode()),
    packed(json.dumps(BASE.plain() | {"rules": [{"map_id": "../..", "polygon": []}]}).encode()),
    packed(json.dumps(BASE.plain() | {"pins": [{"sample_id": "x", "keep": 1}]}).encode()),
    pack(FULL)[:-8],
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_link_that_holds_no_recipe_is_one_sentence(text):
    with pytest.raises(BudgetError) as caught:
        unpack(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=200))
def test_any_text_that_is_no_recipe_is_one_sentence(text):
    with pytest.raises(BudgetError) as caught:  # no text of this length is one by chance
        unpack(text)
    assert "\n" not in str(caught.value)


def test_a_sample_cannot_be_pinned_twice():
    twice = [Pin(sample_id="d" * 20, keep=keep).model_dump() for keep in (True, False)]
    with pytest.raises(BudgetError, match="pinned twice"):
        Recipe.load(BASE.plain() | {"pins": twice})


def test_saving_adds_versions_and_an_old_one_is_restored_by_adding():
    with store.connect(write=True) as con:
        assert recipes.save(con, " mine ", BASE, "first") == 1
        assert recipes.save(con, "mine", BASE, "first") == 1  # nothing new to say
        assert recipes.save(con, "mine", FULL, "more", "ana") == 2
        assert recipes.save(con, "other", FULL) == 1
    with store.connect(write=True) as con:
        old = recipes.get(con, "mine", 1)
        assert recipes.save(con, "mine", old, "restored from version 1") == 3
    with store.connect() as con:
        assert recipes.get(con, "mine") == BASE
        assert recipes.get(con, "mine", 2) == FULL
        assert recipes.history(con, "mine")["version"].tolist() == [3, 2, 1]
        assert sorted(recipes.saved(con, "p")["name"]) == ["mine", "other"]
        assert recipes.saved(con, "q").empty
        with pytest.raises(BudgetError, match=r"no recipe is saved by this name.*mine, other"):
            recipes.get(con, "nope")
        with pytest.raises(BudgetError, match="no recipe is saved"):
            recipes.get(con, "mine", 9)


@pytest.mark.parametrize("name", ["", "  ", "a@b", "x" * 81, "a\nb"])
def test_a_name_that_cannot_be_used_is_refused(name):
    with (
        pytest.raises(BudgetError, match="recipe name: cannot be used"),
        store.connect(write=True) as con,
    ):
        recipes.save(con, name, BASE)


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "p.jsonl"
    rows = [{"instruction": f"q{i}", "output": "a"} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pools.import_files([path], "p")
    with store.connect() as con:
        return stored_pools.get_pool(con, "p").sample_ids


def test_the_newest_word_of_each_reviewer_counts_and_none_is_lost(pool):
    for reviewer, verdict in (("ana", "bad"), ("bo", "good"), ("ana", "good")):
        with store.connect(write=True) as con:
            reviews.add(con, Review("p", pool[0], reviewer, verdict))
    with store.connect() as con:
        found = reviews.reviews(con, "p")
        assert list(zip(found["reviewer"], found["verdict"], strict=True)) == [
            ("bo", "good"),
            ("ana", "good"),
        ]
        assert con.execute("SELECT count(*) FROM reviews").fetchone() == (3,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_id": "0" * 20},
        {"verdict": "perhaps"},
        {"reviewer": "  "},
        {"note": "x" * 10_001},
    ],
)
def test_a_review_that_cannot_be_taken_is_one_sentence(pool, wrong):
    fields = {"pool": "p", "sample_id": pool[0], "reviewer": "ana", "verdict": "good"} | wrong
    with pytest.raises(PoolError), store.connect(write=True) as con:
        reviews.add(con, Review(**fields))


JUDGE = """
import sys
from core import store
from core.store import reviews
reviewer, *ids = sys.argv[1:]
for sample_id in ids:
    with store.connect(write=True) as con:
        reviews.add(con, reviews.Review("p", sample_id, reviewer, "good"))
"""


def test_two_reviewers_at_once_lose_nothing(pool):
    both = [subprocess.Popen([sys.executable, "-c", JUDGE, name, *pool]) for name in ("ana", "bo")]
    assert [process.wait() for process in both] == [0, 0]
    with store.connect() as con:
        found = reviews.reviews(con, "p")
    assert sorted(zip(found["reviewer"], found["sample_id"], strict=True)) == sorted(
        (name, i) for name in ("ana", "bo") for i in pool
    )


def test_ids_are_texts_rows_and_hashes(pool):
    ids = Ids(list(pool))
    assert list(ids) == list(pool)
    assert ids[2] == pool[2]
    assert list(ids[1:3]) == list(pool[1:3])
    assert [ids.find(i) for i in pool] == list(range(6))
    assert ids.find("0" * 20) is ids.find("") is ids.find("é" * 20) is None
    assert ids.hash().tolist() == [int(i[:13], 16) for i in pool]
    assert Ids([]).hash().tolist() == []
