"""Behaviour lock: run the same short trainings with two versions of the code through their command
lines, and compare every number.
"""
