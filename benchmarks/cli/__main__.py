"""`python -m benchmarks.cli`, the same as `safedreamer`."""

from benchmarks.cli.app import entry

entry()
