"""The rules of the audit.

Each takes the runs as `lightning_pepr.auditing` prepares them, and returns its findings: `at`, the place of the run,
`evidence` and `confidence`.
"""
