import pytest

from tests.serving.world import serve


@pytest.fixture(scope="package")
def running():
    """A service that all tests share; each leaves it idle."""
    with serve() as found:
        yield found


@pytest.fixture
def client(running):
    with running.client() as found:
        yield found
    running.wait_idle()
