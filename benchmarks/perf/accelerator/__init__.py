"""A program that uses a few minutes of an accelerator efficiently: timings, training from vision,
several seeds at once.
"""
