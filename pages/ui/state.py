"""Everything the app remembers in a session, typed in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.recipe import Pin, Recipe
from core.rules import Rule


@dataclass
class State:
    """Choices that outlive a page. Everything else belongs to the widget that shows it."""

    pool: str | None = None
    recipe: Recipe | None = None
    rival: Recipe | None = None  # the other recipe of a comparison
    past: list[Recipe] = field(default_factory=list)
    future: list[Recipe] = field(default_factory=list)
    sample: str | None = None  # id of the opened sample
    reviewer: str = ""
    linked: str = ""  # the recipe that the address of the page says

    def begin(self, recipe: Recipe) -> None:
        """Start over with a recipe."""
        if self.recipe is not None and self.recipe.pool != recipe.pool:
            self.sample = self.rival = None
        self.pool, self.recipe, self.past, self.future = recipe.pool, recipe, [], []

    def close(self) -> None:
        """Let go of the recipe; the frame then opens the run that is shown first."""
        self.recipe, self.past, self.future = None, [], []

    def take(self, recipe: Recipe) -> None:
        """Another recipe in the place of this one; `undo` brings it back."""
        if self.recipe is not None and recipe != self.recipe:
            self.past.append(self.recipe)
            self.recipe, self.future = recipe, []

    def change(self, **fields: object) -> None:
        """Replace fields of the recipe."""
        if self.recipe is not None:
            self.take(Recipe.load(self.recipe.model_dump() | fields))

    def turn(self, own: Mapping[str, Any], **knobs: Any) -> None:
        """Turn live knobs of the run; one that stands at the run's `own` value is no change."""
        if self.recipe is None:
            return
        others = {k: v for k, v in self.recipe.params.items() if k not in knobs}
        self.change(params=others | {k: v for k, v in knobs.items() if not _same(v, own[k])})

    def add_rule(self, rule: Rule) -> None:
        """Put a rule into its slot; another one there goes, and this one takes its place."""
        if self.recipe is None:
            return
        rules = {r.slot: r for r in self.recipe.rules} | {rule.slot: rule}
        self.change(rules=tuple(rules.values()))

    def drop_rule(self, rule: Rule) -> None:
        """Take a rule away."""
        if self.recipe is not None:
            self.change(rules=tuple(r for r in self.recipe.rules if r.slot != rule.slot))

    def pin(self, sample_id: str, keep: bool | None) -> None:
        """Keep a sample by hand, drop it by hand, or (None) leave it to the recipe."""
        if self.recipe is None:
            return
        others = tuple(pin for pin in self.recipe.pins if pin.sample_id != sample_id)
        own = () if keep is None else (Pin(sample_id=sample_id, keep=keep),)
        self.change(pins=(*others, *own))

    def open(self, sample_id: str | None) -> None:
        """Open a sample."""
        self.sample = sample_id

    def undo(self) -> None:
        """Back to the recipe before the last change."""
        if self.past and self.recipe is not None:
            self.future.append(self.recipe)
            self.recipe = self.past.pop()

    def redo(self) -> None:
        """Forward again after `undo`."""
        if self.future and self.recipe is not None:
            self.past.append(self.recipe)
            self.recipe = self.future.pop()


def _same(value: Any, own: Any) -> bool:
    """Whether a knob stands where it stood; a slider's shares are not exact."""
    numbers = isinstance(value, float) and isinstance(own, float)
    return abs(value - own) < 1e-9 if numbers else bool(value == own)


def state() -> State:
    """This session's state, made on first use."""
    if "state" not in st.session_state:
        st.session_state["state"] = State()
    found: State = st.session_state["state"]
    return found


def show(key: str, value: object) -> None:
    """Make the widget with this key show a value.

    Only when it shows another: setting it to what it shows already would undo what a person
    does to it while the page is drawn.
    """
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
