"""Hostile inputs by the hundred thousand, each from a seed that is printed."""
