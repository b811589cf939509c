import jax
import pytest

from spirit_jax.codec_training import loop
from tests.codec_training.world import write_corpus


@pytest.fixture(autouse=True)
def devices_of_the_mesh(monkeypatch):
    """Runs see as many devices as their mesh has."""
    make = loop.make_mesh
    monkeypatch.setattr(
        loop,
        "make_mesh",
        lambda config: make(config, jax.devices()[: config.data * config.fsdp * config.tensor]),
    )


@pytest.fixture(scope="session")
def embedded_corpus(tmp_path_factory):
    """Units folder and folder of the embedded codec that made them."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))
