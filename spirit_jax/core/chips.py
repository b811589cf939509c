"""Peak rates and memory of accelerators, as published. Nothing here is measured.

TPUs. A chip of v4 and v5p has two cores and is one device of JAX.
- hbm: the "available HBM" in libtpu 0.0.52's message when it refuses a program of 400 GiB compiled for
  v4:2x2x1 (megacore), v5e:2x2, v5p:2x2x1, v6e:2x2.
- flops, hbm_rate: Google's pages docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}: 275, 197, 459, 918 TFLOPs;
  1200, 819, 2765, 1638 GBps.
- links: half of the bidirectional interconnect rate a chip on those pages: v5e 400, v5p 1200, v6e 800 GBps.
  For v4 the page has only the all-reduce rate of a pod of 4,096 chips, 1.1 PB/s (269 GB/s a chip); 45 GB/s
  for each of six links is from the book "How to scale your model", chapter TPUs, whose values for the others
  agree with the pages. Links at the edge of a slice that is not a torus (v6e:8x8, one axis of v5p:2x4x4) are
  idle, so the rate there is lower.
- network: v5e 6.4 Tbps a pod of 256 chips, v5p 50 Gbps a chip, v6e 25.6 Tbps a pod of 256 (the same pages).
  v4: 25 GB/s a host of 4 chips, "typical" of all in the same book; no page of Google's was found.

GPUs, SXM, dense bfloat16.
- flops, hbm_rate, links: quoted by other pages from NVIDIA's data sheets, which were not available: H100 989
  TFLOPS, 3.35 TB/s, NVLink 900 GB/s both ways; H200 the same with 4.8 TB/s. The A100's three are from memory,
  and so are the networks: one adapter of 200 or 400 Gb/s a GPU.
- hbm: the "total capacity" by CUDA in error messages of PyTorch that users posted: 79.11 GiB on an H100,
  139.8 on H200s, 79.2 to 79.25 on unnamed GPUs of 80 GB.
"""

import dataclasses
from typing import Any

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device.

    kind: how its name in JAX (`device_kind`) begins. hbm: bytes that a program may use. flops: bfloat16 a
    second. hbm_rate: bytes a second from and to its memory. links: bytes a second that it sends within its
    slice or machine, over all links together. network: bytes a second to other slices or machines, its share
    of the host's.
    """

    platform: str
    kind: str
    hbm: float
    flops: float
    hbm_rate: float
    links: float
    network: float


CHIPS = {
    "v4": Chip("tpu", "TPU v4", 30.75 * GIB, 275e12, 1.2e12, 6 * 45e9, 6.25e9),
    "v5e": Chip("tpu", "TPU v5 lite", 15.75 * GIB, 197e12, 0.819e12, 4 * 50e9, 3.125e9),
    # "TPU v5 lite" begins with this name too: the longest that fits is taken
    "v5p": Chip("tpu", "TPU v5", 95.73 * GIB, 459e12, 2.765e12, 6 * 100e9, 6.25e9),
    "v6e": Chip("tpu", "TPU v6 lite", 31.24 * GIB, 918e12, 1.638e12, 4 * 100e9, 12.5e9),
    "a100": Chip("gpu", "NVIDIA A100", 79.2 * GIB, 312e12, 2.039e12, 300e9, 25e9),
    "h100": Chip("gpu", "NVIDIA H100", 79.1 * GIB, 989e12, 3.35e12, 450e9, 50e9),
    "h200": Chip("gpu", "NVIDIA H200", 139.8 * GIB, 989e12, 4.8e12, 450e9, 50e9),
}


def peak_flops(device: Any) -> float | None:
    """bfloat16 operations a second of a JAX device; None for a CPU, or hardware that is not in the table."""
    fitting = [chip for chip in CHIPS.values() if device.device_kind.startswith(chip.kind)]
    return max(fitting, key=lambda chip: len(chip.kind)).flops if fitting else None
