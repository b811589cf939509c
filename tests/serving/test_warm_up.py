import jax
import pytest

from tests.serving.test_generation import ask
from tests.serving.world import as_base64, make_sound, serve, sound_file

COMPILED = "/jax/core/compile/backend_compile_duration"


def test_requests_compile_nothing():
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **named: compiled.append(named) if name == COMPILED else None
    )
    with serve(slots=128) as running, running.client() as client:
        assert compiled, "the listener hears nothing"
        before = len(compiled)
        for words in (1, 20, 60):
            ask(client, "fox " * words, max_new_tokens=9, temperature=1.0, stop=["zebra"])
        for seconds in (0.1, 0.7, 1.4):
            sound = {"audio": as_base64(sound_file(make_sound(seconds)))}
            ask(client, [sound], task="transcribe", max_new_tokens=5)
        for count in (1, 9, 40, 100):
            options = {"output": "speech", "max_new_tokens": count, "temperature": 1.0, "seed": count}
            ask(client, "the fox", **options)
            body = {"prompt": "the fox", "stream": True, **options}
            assert client.post("/v1/generate", json=body).status_code == 200
        assert compiled[before:] == []


@pytest.mark.parametrize("slots", [32, 100])
def test_the_longest_prompt_fits(slots):
    """Slots are rounded up, and a prompt may fill all but one of them."""
    with serve(slots=slots) as running, running.client() as client:
        longest = client.get("/v1/model").json()["longest_tokens"]
        assert longest >= slots
        tokens = "[Hu3][Hu4]" * (longest // 2)
        for taken in range(longest - 4, longest):
            body = {"prompt": [{"tokens": tokens[: 5 * taken]}], "output": "speech", "max_new_tokens": 1}
            status = client.post("/v1/generate", json=body).status_code
            assert status == (200 if taken + 3 <= longest else 400)
