"""Suites: named sets of runs, as small YAML files.

The built-in ones lie in this folder; a user's own looks the same.
"""
