"""A Cloud Storage emulator on loopback, and buckets in it.

Three clients read and write: gcsfs, tensorstore and Google's own. None asks for credentials.
"""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator

from spirit_jax.core.paths import AnyPath, to_path


@contextlib.contextmanager
def emulator() -> Iterator[dict[str, str]]:
    """Runs the emulator; yields the environment in which the clients use it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(url)
        yield {
            "STORAGE_EMULATOR_HOST": url,
            "TENSORSTORE_GCS_HTTP_URL": url,
            "FSSPEC_GCS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks a service that the emulator lacks
            "GOOGLE_CLOUD_PROJECT": "tests",
            "NO_GCE_CHECK": "true",
        }
    finally:
        process.kill()
        process.wait()


def make_bucket(environment: dict[str, str]) -> AnyPath:
    """A new bucket's path."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(
        f"{environment['STORAGE_EMULATOR_HOST']}/storage/v1/b?project=tests",
        data=f'{{"name": "{name}"}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).read()
    return to_path(f"gs://{name}")


def use(environment: dict[str, str], monkeypatch) -> None:
    """Makes this process use the emulator."""
    from fsspec.config import conf

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(conf, "gcs", {"token": "anon"})
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


def _wait(url: str) -> None:
    for _ in range(200):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=5).read()
            return
        time.sleep(0.05)
    raise TimeoutError("the emulator doesn't answer")
