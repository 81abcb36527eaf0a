"""Commands of the analysis, results in and files out: one module each; options are in `main`."""
