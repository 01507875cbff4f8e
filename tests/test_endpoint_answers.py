"""Answers by a server: k of them for every sample, whatever the server can and cannot do."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from endpoint_server import (
    QUICK,
    Body,
    Sent,
    Server,
    asks,
    completion,
    ignores_n,
    knows_n,
    refused,
    refuses_n,
    sent,
    serving,
    text,
)
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Sample, Turn
from core.engines import Sampling
from core.engines.asking import dealt
from core.engines.endpoint import MANY, EndpointEngine
from core.engines.fake import FakeEngine
from core.engines.replies import Said
from core.errors import EndpointError, ModelError

K = 4
SAMPLING = Sampling(K, 1.4, 0.9, 16, 42)
LONG = "This model's maximum context length is 2048 tokens. However, you requested 5000 tokens."


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def drawn(server: Server) -> Callable[..., dict[str, Any]]:
    """Draws answers, and keeps the engine as `drawn.engine` for what it tells."""

    def draw(
        samples: Sequence[Sample], sampling: Sampling = SAMPLING, at_once: int = 8, most: int = 4096
    ) -> dict[str, Any]:
        engine = EndpointEngine(server.endpoint(at_once), QUICK)
        try:
            return engine.answers(samples, sampling, most)
        finally:
            engine.close()
            draw.engine = engine  # type: ignore[attr-defined]

    return draw


def questions(n: int) -> list[Sample]:
    return [Sample((Turn("user", f"Ask {k}"), Turn("assistant", "x")), "tests") for k in range(n)]


def texts(found: dict[str, Any]) -> list[list[str]]:
    return [[t.decode("utf8") for t in row] for row in found["text"]]


def test_a_server_that_knows_n_is_asked_once_a_sample(server: Server, drawn: Any) -> None:
    found = drawn(questions(6))
    assert len(server.about()) == 6
    right = {asks(b): [text(b, j) for j in range(K)] for b in server.about()}
    assert texts(found) == [right[f"Ask {k}"] for k in range(6)]
    assert found["ended"].all()
    assert not found["over_long"].any()
    assert not found["refused"].any()


def test_the_arrays_are_those_of_every_engine(server: Server, drawn: Any) -> None:
    some = questions(3)
    found, like = drawn(some), FakeEngine().answers(some, SAMPLING, 4096)
    assert found.keys() == like.keys() | {"refused"}
    for name, array in like.items():
        assert (found[name].shape, found[name].dtype.kind) == (array.shape, array.dtype.kind)
    none = drawn([])
    assert none["text"].shape == (0, K)


@pytest.mark.parametrize("behave", [ignores_n, refuses_n])
def test_a_server_that_does_not_know_n_is_asked_k_times_with_a_seed_each(
    behave: Any, server: Server, drawn: Any
) -> None:
    server.behave = behave
    found = drawn(questions(5))
    assert len(server.about()) == 5 * K
    assert len({b["seed"] for b in server.about()}) == 5 * K
    assert not any("n" in b for b in server.about())
    assert {t for row in texts(found) for t in row} == {text(b) for b in server.about()}
    assert "one answer a request" in drawn.engine.told()


def test_a_server_that_draws_the_same_answer_k_times_is_asked_one_by_one(
    server: Server, drawn: Any
) -> None:
    server.behave = lambda body: sent(completion([text(body)] * body.get("n", 1)))
    found = drawn(questions(3))
    assert all(len(set(row)) > 1 for row in texts(found))
    assert len(server.about()) == 3 * K


def test_a_server_that_always_says_the_same_is_refused(server: Server, drawn: Any) -> None:
    server.behave = lambda body: sent(completion(["Once upon a time"] * body.get("n", 1)))
    with pytest.raises(EndpointError, match="does not sample"):
        drawn(questions(3))
    assert not server.about()


@pytest.mark.parametrize(("temperature", "top_p"), [(0.1, 0.9), (1.4, 0.01)])
def test_where_chance_has_little_room_answers_may_be_the_same(
    temperature: float, top_p: float, server: Server, drawn: Any
) -> None:
    server.behave = lambda body: sent(completion(["Once"] * body.get("n", 1)))
    sure = Sampling(K, temperature, top_p, 16, 42)
    assert texts(drawn(questions(2), sure)) == [["Once"] * K] * 2


def test_what_a_reply_lacks_is_asked_for_one_by_one(server: Server, drawn: Any) -> None:
    def few(body: Body) -> Sent:
        n = body.get("n", 1)
        short = n > 1 and asks(body) in ("Ask 1", "Ask 3")
        return sent(completion([text(body, j) for j in range(n - 2 if short else n)]))

    server.behave = few
    found = drawn(questions(5))
    assert all(len(row) == K and all(row) for row in texts(found))
    assert len(server.about("Ask 1")) == 3
    assert len(server.about("Ask 2")) == 1


def test_answers_that_nobody_asked_for_are_left(server: Server, drawn: Any) -> None:
    server.behave = lambda body: sent(completion([text(body, j) for j in range(9)]))
    found = drawn(questions(2))
    assert found["text"].shape == (2, K)
    words = [sum(len(t.split()) + 1 for t in row) for row in texts(found)]
    assert np.abs(found["n_tokens"].sum(1) - words).max() <= 4  # their share of the count goes, too


def test_a_server_that_wants_another_name_for_the_bound_gets_it(server: Server, drawn: Any) -> None:
    def newer(body: Body) -> Sent:
        if "max_tokens" in body:
            return refused(400, "Use 'max_completion_tokens' instead of 'max_tokens'.")
        return knows_n(body)

    server.behave = newer
    drawn(questions(2))
    assert {b["max_completion_tokens"] for b in server.about()} == {SAMPLING.max_new_tokens}


def test_a_request_says_what_the_signal_samples_by(server: Server, drawn: Any) -> None:
    turns = (
        *(Turn("system", "Be brief."), Turn("user", "Why?"), Turn("assistant", "So.")),
        *(Turn("user", "Why so?"), Turn("assistant", "Never shown.")),
    )
    drawn([Sample(turns, "tests")])
    [body] = server.about()
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        (t.role, t.content) for t in turns[:-1]
    ]
    shown = {name: body[name] for name in ("model", "temperature", "top_p", "max_tokens", "n")}
    assert shown == {
        "model": "org/small", "temperature": 1.4, "top_p": 0.9, "max_tokens": 16, "n": K,
    }  # fmt: skip


@pytest.mark.parametrize("behave", [knows_n, refuses_n])
def test_answers_depend_on_neither_block_nor_concurrency(
    behave: Any, server: Server, drawn: Any
) -> None:
    server.behave, some = behave, questions(9)
    whole = texts(drawn(some, at_once=8))
    again = texts(drawn(some[5:], at_once=1)) + texts(drawn(some[4::-1], at_once=3))
    assert sorted(again) == sorted(whole)
    assert texts(drawn(some, Sampling(K, 1.4, 0.9, 16, 7))) != whole


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_so_many_requests_are_under_way_and_never_more(
    at_once: int, server: Server, drawn: Any
) -> None:
    together = threading.Barrier(at_once)  # each waits until so many are there

    def slow(body: Body) -> Sent:
        if asks(body).startswith("Ask"):
            together.wait(60)
        return refuses_n(body)

    server.behave = slow
    found = drawn(questions(6), at_once=at_once)  # 24 requests
    assert server.most == at_once
    assert all(all(row) for row in texts(found))


def test_a_prompt_that_does_not_fit_is_over_long(server: Server, drawn: Any) -> None:
    def short(body: Body) -> Sent:
        return refused(400, LONG) if asks(body) == "Ask 2" else knows_n(body)

    server.behave = short
    found = drawn(questions(4))
    assert found["over_long"].tolist() == [False, False, True, False]
    assert texts(found)[2] == [""] * K
    assert not found["refused"].any()
    assert "answered 3 of 4 samples" in drawn.engine.told()
    assert "1 longer than the limit" in drawn.engine.told()


def test_the_limit_of_the_run_holds_for_a_server_too(server: Server, drawn: Any) -> None:
    some = questions(3)  # of 11 tokens each, the server says
    assert not drawn(some, most=11 + SAMPLING.max_new_tokens)["over_long"].any()
    assert drawn(some, most=10 + SAMPLING.max_new_tokens)["over_long"].all()


def test_a_sample_that_the_server_refuses_is_told_and_the_others_go_on(
    server: Server, drawn: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def strict(body: Body) -> Sent:
        alone = asks(body) == "Ask 1"
        return refused(400, "roles must alternate \x1b[31m") if alone else knows_n(body)

    server.behave, some = strict, questions(5)
    found = drawn(some)
    assert found["refused"].tolist() == [False, True, False, False, False]
    assert not found["over_long"].any()
    assert sum(any(row) for row in texts(found)) == 4
    assert some[1].sample_id[:8] in caplog.text
    assert "roles must alternate" in caplog.text
    assert "\x1b" not in caplog.text
    counts = drawn.engine.counts
    assert (counts.drawn, counts.refused, counts.samples) == (4, 1, 5)


def test_a_sample_on_which_a_server_that_is_well_fails_is_refused_by_it(
    server: Server, drawn: Any
) -> None:
    def fails(body: Body) -> Sent:
        return refused(500, "TemplateError") if asks(body) == "Ask 2" else knows_n(body)

    server.behave = fails
    found = drawn(questions(4))
    assert found["refused"].tolist() == [False, False, True, False]
    assert len(server.about("Ask 2")) == QUICK.tries


def test_a_server_that_refuses_one_sample_after_the_other_ends_the_run(
    server: Server, drawn: Any
) -> None:
    def closed(body: Body) -> Sent:
        return refused(400, "not today") if asks(body).startswith("Ask") else knows_n(body)

    server.behave = closed
    with pytest.raises(EndpointError, match=f"refused {MANY} of .* 'not today"):
        drawn(questions(3 * MANY))


@pytest.mark.parametrize("status", [400, 402])
def test_a_server_that_takes_nothing_any_more_ends_the_run_and_costs_no_sample(
    status: int, server: Server, drawn: Any
) -> None:
    left, lock = [100], threading.Lock()

    def ends(body: Body) -> Sent:
        with lock:
            left[0] -= 1
            return knows_n(body) if left[0] >= 0 else refused(status, "no credit left")

    server.behave = ends
    with pytest.raises(EndpointError, match=r"declines what it took at first\. Got 'no credit"):
        drawn(questions(120))  # fewer than a quarter are left
    assert drawn.engine.counts.refused == 0


@pytest.mark.parametrize("content", [None, "", "  \n", [], [{"type": "image"}], 7])
def test_answers_without_content_are_counted_and_not_lost(
    content: Any, server: Server, drawn: Any
) -> None:
    def mute(body: Body) -> Sent:
        said = [text(body, j) for j in range(body["n"])]
        return sent(completion([content, *said[1:]] if asks(body) == "Ask 0" else said))

    server.behave = mute
    found = drawn(questions(2))
    assert [t == "" for t in texts(found)[0]] == [True, False, False, False]
    assert "1 answers without content" in drawn.engine.told()


def test_any_text_comes_through(server: Server, drawn: Any) -> None:
    odd = [
        "🎉 שלום",
        "a\ud800b",
        [{"type": "text", "text": "in "}, {"text": "parts"}],
        ' {"x": 1}\n',
    ]
    server.behave = lambda body: sent(completion(odd if asks(body) == "Ask 0" else ["x", "y"] * 2))
    assert texts(drawn(questions(1)))[0] == ["🎉 שלום", "a?b", "in parts", '{"x": 1}']


def test_a_prompt_of_any_text_is_sent(server: Server, drawn: Any) -> None:
    said = 'lone \ud800, "quotes", \x00, 👩‍👩‍👧'
    drawn([Sample((Turn("user", said), Turn("assistant", "x")), "tests")])
    assert asks(server.about()[0]) == said


def test_an_answer_that_was_cut_has_not_ended(server: Server, drawn: Any) -> None:
    server.behave = lambda body: sent(
        completion([text(body, j) for j in range(body["n"])], reason="length")
    )
    assert not drawn(questions(2))["ended"].any()


@pytest.mark.parametrize(
    "usage", [None, {}, "many", {"completion_tokens": -1}, {"completion_tokens": True}]
)
def test_tokens_that_are_not_told_are_guessed_and_it_says_so(
    usage: Any, server: Server, drawn: Any
) -> None:
    server.behave = lambda body: sent(
        completion([text(body, j) for j in range(body["n"])], usage=usage)
    )
    assert (drawn(questions(2))["n_tokens"] > 0).all()
    assert "tokens guessed from characters" in drawn.engine.told()


def test_a_flood_of_text_ends_the_run(server: Server, drawn: Any) -> None:
    def flood(body: Body) -> Sent:
        long = "x" * 100_000 if asks(body).startswith("Ask") else ""
        return sent(completion([text(body, j) + long for j in range(body["n"])]))

    server.behave = flood
    with pytest.raises(EndpointError, match="far longer than asked for"):
        drawn(questions(1))


@given(st.integers(0, 10**6), st.lists(st.tuples(st.text(max_size=40), st.booleans()), min_size=1))
def test_dealt_tokens_add_up(tokens: int, rows: list[tuple[str, bool]]) -> None:
    parts = dealt(tokens, [Said(*row) for row in rows])
    assert sum(parts) == tokens
    assert min(parts) >= 0


def test_a_longer_answer_is_dealt_more_tokens() -> None:
    assert dealt(30, [Said("a" * 9, True), Said("a" * 19, True)]) == [10, 20]


def test_what_a_server_cannot_do_is_one_sentence(server: Server) -> None:
    engine = EndpointEngine(server.endpoint())
    with pytest.raises(ModelError, match="is a server of answers, it cannot give the likelihood"):
        engine.token_stats(questions(1), "chat", 99)
    engine.close()


def test_a_closed_conversation_asks_nothing_more(server: Server) -> None:
    engine = EndpointEngine(server.endpoint(), QUICK)
    engine.close()
    engine.close()
    with pytest.raises(EndpointError, match="was closed"):
        engine.answers(questions(1), SAMPLING, 99)
    assert not server.bodies


def test_what_is_under_way_is_given_up_when_the_conversation_is_closed(server: Server) -> None:
    begun, end = threading.Event(), threading.Event()

    def stuck(body: Body) -> Sent:
        if asks(body).startswith("Ask"):
            begun.set()
            end.wait(60)
        return knows_n(body)

    server.behave = stuck
    engine, failed = EndpointEngine(server.endpoint(), QUICK), []

    def ask() -> None:
        try:
            engine.answers(questions(3), SAMPLING, 4096)
        except BaseException as error:
            failed.append(type(error).__name__)

    waiting = threading.Thread(target=ask)
    waiting.start()
    assert begun.wait(60)
    engine.close()
    waiting.join(60)
    assert failed == ["CancelledError"]
    end.set()


def test_the_key_is_sent_and_never_told(
    server: Server, drawn: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("SFTLENS_ANSWERS_KEY", "sk-very-secret")
    found = drawn(questions(2))
    assert {h["Authorization"] for h in server.headers} == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in caplog.text
    assert "sk-very-secret" not in drawn.engine.told()
    assert "sk-very-secret" not in json.dumps(texts(found))
    monkeypatch.delenv("SFTLENS_ANSWERS_KEY")
    server.headers.clear()
    drawn(questions(1))
    assert not any("Authorization" in h for h in server.headers)
