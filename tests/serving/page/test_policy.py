"""The page's Content-Security-Policy, and that the other tests see what it forbids."""

import pytest

from tests.serving.page.browser import Seen, watch

pytestmark = pytest.mark.slow
ELSEWHERE = "http://127.0.0.1:9/"
FORBIDDEN = {
    "connect-src": f"fetch('{ELSEWHERE}').catch(() => null)",
    "img-src": f"new Image().src = '{ELSEWHERE}a.png'",
    "media-src": f"new Audio('{ELSEWHERE}a.wav')",
    "script-src-elem": "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
    "style-src-attr": "document.body.setAttribute('style', 'color: red')",
}
TRY = """() => new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
    %s;
})"""


@pytest.mark.parametrize("directive", FORBIDDEN)
def test_the_page_can_neither_ask_nor_run_what_is_not_the_services(browser, stub, directive):
    with browser.new_context() as context:
        page = context.new_page()
        seen = watch(page)
        page.goto(stub.origin)
        assert page.evaluate(TRY % FORBIDDEN[directive]) == directive
        page.wait_for_timeout(100)  # for what the browser says of it
    with pytest.raises(AssertionError, match="Content Security Policy|127.0.0.1:9"):
        seen.check(stub.origin)


@pytest.mark.parametrize("address", ["https://example.org/a.js", "http://127.0.0.1:80001/"])
def test_a_request_to_another_address_is_seen(address):
    with pytest.raises(AssertionError, match=address):
        Seen([address], []).check("http://127.0.0.1:8000")
    Seen(["http://127.0.0.1:8000/", "blob:http://127.0.0.1:8000/1"], []).check("http://127.0.0.1:8000")
