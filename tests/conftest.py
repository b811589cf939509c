"""Eight CPU devices, strict dtype promotion, no silent rank promotion; set before jax starts.

SPIRIT_TEST_PLATFORM=cuda makes it the GPUs instead: for tests/parity, since others want eight devices.
Property tests see the same examples every time and have no deadline, since a busy machine is no bug.
"""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = os.environ.get("SPIRIT_TEST_PLATFORM", "cpu")

import jax
import pytest
from hypothesis import HealthCheck, settings

from tests.storages import bucket as buckets

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def cloud():
    """A Cloud Storage emulator: the environment in which its clients use it."""
    with buckets.emulator() as environment:
        yield environment


@pytest.fixture
def bucket(cloud, monkeypatch):
    """An empty bucket, which this process and those that it starts can use."""
    buckets.use(cloud, monkeypatch)
    return buckets.make_bucket(cloud)
