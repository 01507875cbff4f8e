"""The benchmark suite: every figure is a ratio of one run. `python -m benchmarks`."""
