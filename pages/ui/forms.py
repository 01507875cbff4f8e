"""Fields of a method or a policy -> widgets, with the bounds, defaults and help of the fields."""

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from core.methods import Method


def field_widget(
    name: str, field: FieldInfo, value: Any, key: str, changed: Callable[[], None] | None = None
) -> Any:
    """One widget for one parameter; returns its value, and calls `changed` when a person moves it.

    `value` is what it shows first; afterwards the widget's own state counts.
    """
    label = name.replace("_", " ")
    st.session_state.setdefault(key, value)  # a default beside a set state would be a warning
    hint = str(field.description or "")
    hint = hint[:1].upper() + hint[1:] + "."
    if get_origin(field.annotation) is Literal:
        options = list(get_args(field.annotation))
        return st.selectbox(label, options, key=key, help=hint, on_change=changed)
    if field.annotation is bool:
        return st.checkbox(label, key=key, help=hint, on_change=changed)
    if field.annotation is str:
        return st.text_input(label, key=key, help=hint, on_change=changed)
    low, high = bounds(field)
    if field.annotation is int:
        return st.number_input(
            label,
            min_value=None if low is None else int(low),
            max_value=None if high is None else int(high),
            step=1,
            key=key,
            help=hint,
            on_change=changed,
        )
    tiny = value and abs(value) < 0.01
    return st.number_input(
        label,
        min_value=low,
        max_value=high,
        step=value / 2 if tiny else 0.01,
        format="%.1e" if tiny else "%.2f",
        key=key,
        help=hint,
        on_change=changed,
    )


def fields(method: type[Method], values: dict[str, Any], key: str) -> dict[str, Any]:
    """Widgets for all parameters, in three columns; returns those that differ from `values`."""
    columns = st.columns(3)
    chosen = {}
    for i, (name, field) in enumerate(method.model_fields.items()):
        with columns[i % 3]:
            chosen[name] = field_widget(name, field, values[name], f"{key}_{name}")
    return {name: value for name, value in chosen.items() if value != values[name]}


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Lower and upper bound; an open bound is moved inwards by a step."""
    low = high = None
    for rule in field.metadata:
        low = getattr(rule, "ge", low)
        high = getattr(rule, "le", high)
        if getattr(rule, "gt", None) is not None:
            low = float(rule.gt) + 1e-6
        if getattr(rule, "lt", None) is not None:
            high = float(rule.lt) - 0.01
    return (None if low is None else float(low)), (None if high is None else float(high))
