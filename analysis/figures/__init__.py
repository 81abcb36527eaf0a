"""Figures: data in, a matplotlib Figure out; `style` alone saves them."""
