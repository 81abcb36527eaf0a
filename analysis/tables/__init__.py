"""Tables of results, as frames, Markdown, CSV and LaTeX."""
