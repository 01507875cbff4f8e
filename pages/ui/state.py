"""Everything the app remembers in a session, typed in one place."""

from dataclasses import dataclass, field

import streamlit as st

from core.recipe import Recipe, Rule


@dataclass
class State:
    """Choices that outlive a page. Everything else belongs to the widget that shows it."""

    pool: str | None = None
    recipe: Recipe | None = None
    past: list[Recipe] = field(default_factory=list)
    future: list[Recipe] = field(default_factory=list)
    sample: int | None = None  # position of the opened sample

    def begin(self, recipe: Recipe) -> None:
        """Start over with a recipe for another run."""
        self.recipe, self.past, self.future, self.sample = recipe, [], [], None

    def close(self) -> None:
        """Let go of the recipe; the frame then opens the run that is shown first."""
        self.recipe = None

    def change(self, **fields: object) -> None:
        """Replace fields of the recipe; the old one can be had back with `undo`."""
        if self.recipe is None:
            return
        changed = Recipe.load(self.recipe.model_dump() | fields)
        if changed != self.recipe:
            self.past.append(self.recipe)
            self.recipe, self.future = changed, []

    def set_rule(self, rule: Rule | None, column: str) -> None:
        """Put the one rule of a column in place, or take it away."""
        if self.recipe is None:
            return
        others = [r.model_dump() for r in self.recipe.rules if r.column != column]
        self.change(rules=others if rule is None else [*others, rule.model_dump()])

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
