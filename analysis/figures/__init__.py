"""Figures: data in, a matplotlib Figure out; only `style.save` writes files."""
