import jax
import pytest

from spirit_jax.codec_training import loop


@pytest.fixture(autouse=True)
def devices_of_the_mesh(monkeypatch):
    """Runs see as many devices as their mesh has."""
    make = loop.make_mesh
    monkeypatch.setattr(loop, "make_mesh", lambda config: make(config, jax.devices()[: config.data * config.fsdp * config.tensor]))
