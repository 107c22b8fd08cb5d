"""The rules of the audit: each takes runs as `prepare` has them, and returns `at`, `evidence` and `confidence`."""
