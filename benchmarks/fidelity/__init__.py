"""Checks against numbers recorded from the authors' release: each module compares one kind of recording."""
