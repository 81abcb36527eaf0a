"""Baselines of other authors behind one protocol.

Knows agents' parts; environments, files and clocks are handed in.
"""
