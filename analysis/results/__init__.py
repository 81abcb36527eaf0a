"""Runs as three tidy frames (episodes, runs, damaged lines), and what follows from them alone."""
