"""Built-in suites of stress tests, one YAML file each."""
