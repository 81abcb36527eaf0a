"""The process of a run: signals, exit statuses, memory allocator, cache of compiled functions."""
