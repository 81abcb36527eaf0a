"""A lock on behaviour: the same short trainings with two versions of the code, by their command
lines, compared number by number.
"""
