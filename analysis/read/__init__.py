"""From run folders, exports and other suites' files to one tidy set of results."""
