"""Commands of the analysis, results in and files out: one module each, `main` their options."""
