"""From run folders to figures and tables: load -> tidy DataFrame -> pure statistics -> figures.

Only `commands` and `figures.style.save` write results to files.

Imports neither JAX nor torch nor a simulator, so that results can be read on any machine.
"""
