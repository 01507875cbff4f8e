"""SFTLens: measure instruction data with language models, choose a subset, and say why."""

__version__ = "0.1.0"
