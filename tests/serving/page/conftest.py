import pytest

from tests.serving.page.browser import open_chromium, open_page
from tests.serving.page.stub import serve_stub


@pytest.fixture(scope="module")
def chromium():
    """Launches browsers. It ends with a module's tests: playwright occupies its thread's event loop."""
    with open_chromium() as launch:
        yield launch


@pytest.fixture(scope="module")
def browser(chromium):
    """One for a module's tests."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def stub():
    with serve_stub() as served:
        yield served


@pytest.fixture
def page(browser, stub):
    """The page of the stub, with a model that is known."""
    with open_page(browser, stub.origin) as opened:
        opened.wait_for_selector("#generate:enabled")
        yield opened
