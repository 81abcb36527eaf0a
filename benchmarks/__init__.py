"""Tasks, environments, the training loop, records and commands.

Everything that turns an agent into a reproducible run.
"""
