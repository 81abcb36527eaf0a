"""Reads checkpoints of the authors' release without executing anything in them."""
