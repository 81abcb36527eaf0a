"""Sharing of trained runs: which files are shared, their card, and where they are stored."""
