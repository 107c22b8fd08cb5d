"""The rules of the audit, one a module.

Each takes the runs as `lightning_pepr.auditing.preparation` has them, and returns its findings: `at`, the place of the
run, `evidence` and `confidence`.
"""
