"""Baselines by other authors behind one protocol.

May import parts of `agents`; environments, files and clocks are passed in.
"""
