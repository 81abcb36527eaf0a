"""The commands that read results: figures, report, tables, compare."""
