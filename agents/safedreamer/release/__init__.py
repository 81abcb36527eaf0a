"""Checkpoints of the authors' release, read without running anything they hold."""
