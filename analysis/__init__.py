"""From run folders to figures and tables: load -> tidy DataFrame -> pure statistics -> figures.

Only `report` writes files.

Imports neither JAX nor torch nor a simulator, so that results can be read on any machine.
"""
