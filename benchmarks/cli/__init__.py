"""The command `safedreamer`: one file per subcommand, each with a `main(args) -> exit status`."""

from benchmarks.cli.app import main

__all__ = ["main"]
