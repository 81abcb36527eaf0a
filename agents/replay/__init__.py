"""Sequence replay: the buffer, where its rows live, how it is saved, and batches drawn ahead."""
