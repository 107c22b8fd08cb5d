"""What every other package may use: files, the environment, optional imports, text, statistics."""
