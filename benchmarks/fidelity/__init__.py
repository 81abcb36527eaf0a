"""Checks against numbers recorded from the authors' release; one module per kind of recording."""
