import re

import pytest

from spirit_jax.generation.options import READERS
from spirit_jax.serving.application import ROUTES
from spirit_jax.serving.openapi import DOCUMENT, OPTIONS
from tests.serving.test_generation import ask, check_error
from tests.serving.world import NAME, SLOTS, make_lm, serve


def test_the_model_is_described(client):
    (stream,) = make_lm().vocabulary.streams
    assert client.get("/v1/model").json() == {
        "id": NAME,
        "streams": [{"name": "units", "mark": "Hu", "size": stream.size, "rate": 25.0}],
        "rate": 16_000,
        "speakers": 3,
        "styles": 5,
        "tasks": ["continue", "transcribe", "speak"],
        "outputs": ["text", "speech", "arbitrary"],
        "longest_tokens": SLOTS,
        "limits": {"body_bytes": 32 << 20, "seconds_of_sound": 4.0, "waiting": 64},
        "streaming_sound": True,
    }


def test_health_and_readiness(client):
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"state": "ready"}


def numbers(client):
    return {
        name: float(value)
        for name, value in re.findall(r"^(\w+(?:{.*})?) (\S+)$", client.get("/metrics").text, re.MULTILINE)
    }


def test_metrics_count_what_happened(client):
    before = numbers(client)
    tokens = ask(client, "the fox", max_new_tokens=9, temperature=1.0)["tokens"]
    client.post("/v1/generate", json={"prompt": 3})
    client.get("/v1/secret/../../etc")
    after = numbers(client)

    def grown(name):
        return after[name] - before.get(name, 0)

    assert grown('spirit_requests_total{route="/v1/generate",status="200"}') == 1
    assert grown('spirit_requests_total{route="/v1/generate",status="400"}') == 1
    assert grown('spirit_requests_total{route="other",status="404"}') == 1
    assert grown('spirit_tokens_total{kind="new"}') == tokens
    assert grown('spirit_tokens_total{kind="prompt"}') >= 3
    assert grown("spirit_first_token_seconds_count") == (tokens > 0)
    assert grown('spirit_request_seconds_count{route="/v1/generate"}') == 2
    assert after["spirit_running"] == after["spirit_waiting"] == after["spirit_taken"] == 0
    assert after["process_resident_memory_bytes"] > 1e7


def test_the_document_names_every_route_and_option(client):
    document = client.get("/openapi.json").json()
    assert document == DOCUMENT
    paths = {re.sub(r":\w+}", "}", route.path) for route in ROUTES}
    assert document["paths"].keys() == paths
    for route in ROUTES:
        methods = {method.lower() for method in route.methods} - {"head"}
        assert document["paths"][re.sub(r":\w+}", "}", route.path)].keys() == methods
    assert OPTIONS.keys() == READERS.keys()


def check_schema(schema, value):
    """The value holds to the schema, as far as the document uses schemas."""
    for one in schema.get("oneOf", ()):
        try:
            return check_schema(one, value)
        except AssertionError:
            continue
    assert "oneOf" not in schema, value
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "null": type(None)}
    kinds |= {"array": list, "object": dict}
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(isinstance(value, kinds[kind]) for kind in wanted), (schema, value)
    assert value in schema.get("enum", [value])
    if isinstance(value, list):
        for item in value:
            check_schema(schema["items"], item)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= value.keys() <= schema["properties"].keys()
        for name, item in value.items():
            check_schema(schema["properties"][name], item)
    return None


def test_answers_hold_to_the_document(client):
    def schema(path, method="get", kind="application/json"):
        return DOCUMENT["paths"][path][method]["responses"]["200"]["content"][kind]["schema"]

    check_schema(schema("/v1/model"), client.get("/v1/model").json())
    for output in ("text", "speech", "arbitrary"):
        answer = ask(client, "the fox", output=output, max_new_tokens=60, temperature=1.0, seed=3)
        check_schema(schema("/v1/generate", "post"), answer)
    error = DOCUMENT["components"]["responses"]["Error"]["content"]["application/json"]["schema"]
    check_schema(error, client.post("/v1/generate", json={}).json())
    with pytest.raises(AssertionError):
        check_schema(error, {"error": "no"})


def test_the_page_and_its_files_are_served(tmp_path):
    folder = tmp_path / "page"
    (folder / "deep").mkdir(parents=True)
    (folder / "index.html").write_text("<title>hello</title>")
    (folder / "deep/a.js").write_text("1")
    (folder / "a.css").write_text("b {}")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    with serve(page=folder) as running, running.client() as client:
        page = client.get("/")
        assert (page.text, page.headers["content-type"]) == (
            "<title>hello</title>",
            "text/html; charset=utf-8",
        )
        assert client.get("/page/deep/a.js").headers["content-type"].startswith("text/javascript")
        styles = client.get("/page/a.css")
        assert styles.headers["content-type"].startswith("text/css")
        assert styles.headers["x-content-type-options"] == "nosniff"
        for path in (
            "../secret.txt",
            "%2e%2e/secret.txt",
            "deep/../../secret.txt",
            "link.txt",
            "/etc/passwd",
        ):
            answer = client.get(f"/page/{path}")
            assert answer.status_code == 404
            assert "secret" not in answer.text
        check_error(client.get("/page/no.js"), 404, "not_found")


def test_a_service_without_a_page_says_so(client):
    check_error(client.get("/"), 404, "no_page")
