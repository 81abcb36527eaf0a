"""Sequence replay: buffer, storage, persistence and prefetching of batches."""
