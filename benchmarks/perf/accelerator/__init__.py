"""One prepared program that uses some minutes of an accelerator well: timings, training from vision, several seeds at once."""
