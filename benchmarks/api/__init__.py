"""The Python API for users, imported as `safedreamer_suite`."""
