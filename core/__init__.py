"""SFTLens: measure instruction data with language models, choose a subset, and say why."""

import os

__version__ = "0.1.0"

# Read when torch loads its OpenMP. Threads that wait by spinning take the core that the thread
# they wait for needs, which shows where the app and a browser run beside the model.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
