"""Fields of a method -> widgets. Bounds, defaults and help come from the fields themselves."""

from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from core.methods import Method


def field_widget(name: str, field: FieldInfo, value: Any, key: str) -> Any:
    """One widget for one parameter; returns its value."""
    label = name.replace("_", " ")
    hint = str(field.description or "")
    hint = hint[:1].upper() + hint[1:] + "."
    if get_origin(field.annotation) is Literal:
        options = list(get_args(field.annotation))
        return st.selectbox(label, options, index=options.index(value), key=key, help=hint)
    if field.annotation is bool:
        return st.checkbox(label, value=value, key=key, help=hint)
    low, high = _bounds(field)
    if field.annotation is int:
        return st.number_input(
            label,
            min_value=None if low is None else int(low),
            max_value=None if high is None else int(high),
            value=int(value),
            step=1,
            key=key,
            help=hint,
        )
    tiny = value and abs(value) < 0.01
    return st.number_input(
        label,
        min_value=low,
        max_value=high,
        value=float(value),
        step=value / 2 if tiny else 0.01,
        format="%.1e" if tiny else "%.2f",
        key=key,
        help=hint,
    )


def fields(method: type[Method], values: dict[str, Any], key: str) -> dict[str, Any]:
    """Widgets for all parameters, in three columns; returns those that differ from `values`."""
    columns = st.columns(3)
    chosen = {}
    for i, (name, field) in enumerate(method.model_fields.items()):
        with columns[i % 3]:
            chosen[name] = field_widget(name, field, values[name], f"{key}_{name}")
    return {name: value for name, value in chosen.items() if value != values[name]}


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
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
