"""One prepared program that uses some minutes of an accelerator well.

Timings, training from vision, several seeds at once.
"""
