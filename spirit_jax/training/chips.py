"""What accelerators can do at most, as their makers publish it. Nothing here is measured.

TPUs: Google's pages on system architecture; a chip of v4 and v5p is one device of JAX. GPUs: NVIDIA's data sheets, SXM, dense bfloat16.
"""

import dataclasses
from typing import Any

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device. kind: how JAX's name of it (`device_kind`) begins; hbm: bytes that a program may use, on TPUs as their compiler says;
    flops: bfloat16 a second; hbm_rate: bytes a second from and to its memory; links: bytes a second that it sends within its slice or
    machine, over all links together; network: bytes a second to other slices or machines, its share of the host's.
    """

    platform: str
    kind: str
    hbm: float
    flops: float
    hbm_rate: float
    links: float
    network: float


CHIPS = {
    "v4": Chip("tpu", "TPU v4", 30.75 * GIB, 275e12, 1.228e12, 6 * 45e9, 6.25e9),
    "v5e": Chip("tpu", "TPU v5 lite", 15.75 * GIB, 197e12, 0.819e12, 4 * 45e9, 3.125e9),
    "v5p": Chip("tpu", "TPU v5", 95.0 * GIB, 459e12, 2.765e12, 6 * 90e9, 6.25e9),  # the longer name is looked for first
    "v6e": Chip("tpu", "TPU v6 lite", 31.25 * GIB, 918e12, 1.64e12, 4 * 90e9, 6.25e9),
    "a100": Chip("gpu", "NVIDIA A100", 79.2 * GIB, 312e12, 2.04e12, 300e9, 25e9),
    "h100": Chip("gpu", "NVIDIA H100", 79.1 * GIB, 989e12, 3.35e12, 450e9, 50e9),
    "h200": Chip("gpu", "NVIDIA H200", 140.0 * GIB, 989e12, 4.8e12, 450e9, 50e9),
}


def peak_flops(device: Any) -> float | None:
    """Of one JAX device, or None where it isn't in the table: a CPU, or hardware that is newer."""
    fitting = [chip for chip in CHIPS.values() if device.device_kind.startswith(chip.kind)]
    return max(fitting, key=lambda chip: len(chip.kind)).flops if fitting else None
