"""Eight CPU devices, strict dtype promotion, no silent rank promotion; set before jax starts.

SPIRIT_TEST_PLATFORM=cuda makes it the GPUs instead: for tests/parity, since others want eight devices.
Property tests see the same examples every time and have no deadline, since a busy machine is no bug.
"""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = os.environ.get("SPIRIT_TEST_PLATFORM", "cpu")

import jax
from hypothesis import HealthCheck, settings

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
