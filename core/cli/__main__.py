"""`python -m core.cli`: what the command `sftlens` does."""

from core.cli import main

main()
