"""Checks against numbers recorded from the authors' release.

Each module compares one kind of recording.
"""
