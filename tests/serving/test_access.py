import pytest

from spirit_jax.serving.guards.access import is_loopback
from tests.serving.test_generation import ask, check_error
from tests.serving.world import serve

TOKEN = "a-token-of-tests-0123456789"


@pytest.fixture(scope="module")
def guarded():
    with serve(token=TOKEN) as running, running.client() as client:
        yield client


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
)
def test_without_the_token_nothing_of_the_model_is_given(guarded, given):
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    for path in ("/v1/generate", "/v1/audio/speech", "/v1/audio/transcriptions"):
        check_error(guarded.post(path, json={"prompt": "a"}, headers=headers), 401, "invalid_api_key")
    for path in ("/v1/model", "/v1/models", "/v1/other", "/metrics"):
        check_error(guarded.get(path, headers=headers), 401, "invalid_api_key")


def test_with_the_token_all_is_given(guarded):
    guarded.headers["Authorization"] = f"Bearer {TOKEN}"
    try:
        assert ask(guarded, "the fox", max_new_tokens=2)
        assert guarded.get("/v1/model").status_code == guarded.get("/metrics").status_code == 200
    finally:
        del guarded.headers["Authorization"]


def test_health_needs_no_token(guarded):
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST:1"])
def test_names_of_this_machine_are_known(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example", "", "[", "a b"]
)
def test_other_names_are_refused(client, host):
    """A page of evil.example whose name leads to 127.0.0.1 sends its own name."""
    check_error(client.get("/v1/model", headers={"Host": host}), 403, "unknown_host")


def test_pages_of_other_sites_are_refused(client):
    answer = client.post("/v1/generate", json={"prompt": "a"}, headers={"Origin": "https://evil.example"})
    check_error(answer, 403, "other_origin")
    check_error(client.post("/v1/generate", json={}, headers={"Origin": "null"}), 403, "other_origin")
    own = str(client.base_url).rstrip("/")
    assert client.get("/v1/model", headers={"Origin": own}).status_code == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
    + [("::", False), ("192.168.1.2", False), ("example.org", False)],
)
def test_what_is_loopback(host, expected):
    assert is_loopback(host) == expected
