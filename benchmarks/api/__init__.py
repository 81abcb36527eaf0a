"""What users call from Python, behind the import name `safedreamer_suite`."""
