"""The report's page: template, style sheet and script, put together by `analysis.report.page`."""
