"""What accelerators can do at most, as their makers publish it."""

from typing import Any

# Dense bfloat16 FLOP/s of one chip, by the beginning of the name that JAX gives it (`device_kind`)
PEAK_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,  # v5e
    "TPU v5": 459e12,  # v5p; the longer name is looked for first
    "TPU v6 lite": 918e12,  # v6e
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


def peak_flops(device: Any) -> float | None:
    """Of one JAX device, or None where it isn't in the table: a CPU, or hardware that is newer."""
    names = sorted((name for name in PEAK_FLOPS if device.device_kind.startswith(name)), key=len)
    return PEAK_FLOPS[names[-1]] if names else None
