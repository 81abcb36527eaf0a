"""Stress tests of trained policies: perturbations of sensors, actuators, physics, tasks and world
models, each with a strength axis, and evaluation episodes under them.
"""
