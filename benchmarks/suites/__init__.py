"""Suites: named sets of runs, as small YAML files.

The built-in ones are in this folder; a user's own has the same format.
"""
