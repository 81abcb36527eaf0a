"""Runs on disk: spec, records, metrics, checkpoint, status, ownership, attempts."""
