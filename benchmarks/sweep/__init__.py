"""Sweeps: planned and finished runs, and their state in a results folder.

Executors run them (package slurm).
"""
