"""Measurements of the product, and pictures of it, by commands: `python -m benchmarks.NAME`."""
