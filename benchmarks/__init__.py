"""Tasks, environments, the training loop, records and commands: everything that turns an agent into a reproducible run."""
