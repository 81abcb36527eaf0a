"""What a run is on disk: spec, records, metrics, checkpoint, status, ownership, attempts."""
