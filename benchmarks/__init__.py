"""Measurements of the product, and pictures of it, by commands.

`python -m benchmarks` runs the suite of `benchmarks/suite/`, `python -m benchmarks.NAME` another.
"""
