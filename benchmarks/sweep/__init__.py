"""Sweeps: what is to run, what has run, and what a results folder says of it.

Who runs it is an executor's affair (package slurm).
"""
