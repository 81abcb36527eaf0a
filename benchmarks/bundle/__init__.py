"""A folder that runs the suite on a GPU machine without internet.

The machine's own Python and JAX train; a bundled Python 3.11 runs the simulators.
"""
