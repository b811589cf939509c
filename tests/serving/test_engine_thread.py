import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spirit_jax.serving.service import State
from tests.serving.test_generation import ask, check_error
from tests.serving.world import serve


def test_when_the_engine_fails_every_request_is_told_and_the_service_is_ill(monkeypatch, capsys):
    with serve(rows=1) as running, running.client() as client:
        held, scheduler = threading.Event(), running.service._scheduler
        running.service.engine._inbox.put(held.wait)
        with ThreadPoolExecutor(3) as pool:
            body = {"prompt": "the fox", "max_new_tokens": 50}
            asked = [pool.submit(client.post, "/v1/generate", json=body) for _ in range(3)]
            running.wait_until(lambda: running.service.taken == 3, "three requests")
            monkeypatch.setattr(scheduler, "step", lambda _: 1 / 0)
            held.set()
            for future in asked:
                check_error(future.result(), 500, "engine_failed")
        assert running.service.state is State.FAILED
        assert client.get("/healthz").status_code == 500
        assert client.get("/readyz").status_code == 503
        check_error(client.post("/v1/generate", json=body), 503, "not_ready")
        assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [1, 3])
def test_many_requests_share_few_rows(rows):
    with serve(rows=rows, waiting=40) as running, running.client() as client, ThreadPoolExecutor(40) as pool:
        options = [{"max_new_tokens": 5 + n % 7, "seed": n, "temperature": 1.0} for n in range(40)]
        found = list(pool.map(lambda one: ask(client, "the fox", **one), options))
        again = list(pool.map(lambda one: ask(client, "the fox", **one), options))
        for answer, other in zip(found, again):
            assert answer["parts"] == other["parts"]
        running.wait_idle()
