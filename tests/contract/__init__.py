"""What `lightning_pepr` relies on in Lightning, torchmetrics and timm, as tests of them.

None of these touches our code, `test_schedules` excepted. One that fails after an upgrade
names the assumption that broke.
"""
