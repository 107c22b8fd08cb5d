"""What devices can draw at most, by what records and tables call them."""

from __future__ import annotations

import pytest

from lightning_pepr.auditing.boards import power_limit


@pytest.mark.parametrize(
    ("device", "boards", "limit"),
    [
        ("NVIDIA A100-SXM4-80GB", "gpu:GPU-1", 1.3 * 500),
        ("NVIDIA A100-SXM4-80GB", "host/gpu:GPU-1", 1.3 * 500),
        ("NVIDIA A100-SXM4-80GB, AMD EPYC 7763", "cpu:host, host/gpu:GPU-1, host/gpu:GPU-2", 1.3 * (2 * 500 + 1500)),
        ("NVIDIA L4, NVIDIA H100 80GB HBM3", "a/gpu:GPU-1, b/gpu:GPU-2", 1.3 * 2 * 700),
        ("AMD EPYC 7763", "cpu:host", 1.3 * 1500),
        ("AMD EPYC 7763", "cpu:one, cpu:two", 1.3 * 3000),
        ("NVIDIA GeForce RTX 3090", None, 1.3 * 1.6 * (16 * 360 + 1500)),
        ("2 x Tesla T4, Intel(R) Xeon(R) CPU @ 2.20GHz", None, 1.3 * 1.6 * (2 * 75 + 1500)),
        ("NVIDIA X9000", "gpu:GPU-1", None),
        ("NVIDIA X9000, NVIDIA L4", "gpu:GPU-1, gpu:GPU-2", None),
        ("AMD Instinct MI300X", "gpu:0", None),
        ("Apple M3", None, None),
        ("AMD EPYC 7763", None, None),
        ("", "gpu:GPU-1", None),
        (None, None, None),
    ],
)
def test_limits(device: str | None, boards: str | None, limit: float | None) -> None:
    assert power_limit(device, boards) == (limit if limit is None else pytest.approx(limit))


@pytest.mark.parametrize(
    ("device", "watts"),
    [
        ("NVIDIA H200", 700),
        ("NVIDIA GH200 480GB", 1000),
        ("NVIDIA B200", 1000),
        ("NVIDIA L40S", 350),
        ("NVIDIA L40", 300),
        ("NVIDIA A40", 300),
        ("NVIDIA A10G", 300),
        ("Tesla V100-SXM2-32GB", 350),
        ("Tesla P100-PCIE-16GB", 300),
        ("NVIDIA RTX A6000", 300),
        ("NVIDIA RTX 6000 Ada Generation", 300),
        ("NVIDIA GeForce RTX 4090", 450),
        ("NVIDIA GeForce RTX 2080 Ti", 300),
        ("NVIDIA TITAN RTX", 300),
    ],
)
def test_boards_as_nvml_calls_them(device: str, watts: float) -> None:
    assert power_limit(device, "gpu:GPU-1") == pytest.approx(1.3 * watts)
