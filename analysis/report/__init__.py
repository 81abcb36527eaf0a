"""The report: curves and a table of a few runs, and one HTML page of a whole sweep."""
