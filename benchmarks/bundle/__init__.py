"""A folder that runs the suite on a GPU machine without internet.

Its own Python and JAX learn, a carried Python 3.11 simulates.
"""
