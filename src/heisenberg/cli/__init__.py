"""The command line: thin commands over the pipeline."""

from heisenberg.cli.app import main

__all__ = ["main"]
