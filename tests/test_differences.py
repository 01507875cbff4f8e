"""What one text says otherwise than another."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from core import differences
from core.differences import differences as compared

texts = st.text(alphabet=st.sampled_from("ab c<>*\n.שא"), max_size=40)


@given(texts, texts)
@settings(max_examples=200, deadline=None)
def test_the_pieces_join_up_to_the_text_and_alternate(reference, text):
    pieces, whole = compared(reference, text)
    assert whole
    assert "".join(piece for piece, _ in pieces) == text
    assert all(piece for piece, _ in pieces)
    marks = [other for _, other in pieces]
    assert all(a != b for a, b in pairwise(marks))


@given(texts)
def test_a_text_does_not_differ_from_itself(text):
    assert not any(other for _, other in compared(text, text)[0])


def test_a_word_that_is_otherwise_is_marked_whole_and_blanks_are_not():
    pieces, _ = compared("It is blue today", "It is green  today!")
    assert pieces == [("It is ", False), ("green", True), ("  today", False), ("!", True)]


def test_blanks_between_two_differences_belong_to_them():
    assert compared("one two", "six ten nine")[0] == [("six ten nine", True)]
    assert compared("a b", " c")[0] == [(" ", False), ("c", True)]


def test_of_a_very_long_text_the_end_is_shown_unmarked(monkeypatch):
    monkeypatch.setattr(differences, "COMPARED", 5)
    pieces, whole = compared("a b c", "a b x y z")
    assert not whole
    assert "".join(piece for piece, _ in pieces) == "a b x y z"
    assert pieces[-1] == (" y z", False)
