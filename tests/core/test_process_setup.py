"""A command with libtpu installed, on a machine without a TPU. Each in a fresh process, which may crash."""

import ctypes
import importlib.util
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from spirit_jax.core import process_setup
from spirit_jax.core.errors import UserError

THP = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")

TRACE = """
import pathlib, sys
from spirit_jax.core import commands
class Trace:
    def add_arguments(parser): parser.add_argument("folder")
    def run(args):
        import jax
        with jax.profiler.trace(args.folder):
            jax.numpy.ones(3).block_until_ready()
        return 0 if list(pathlib.Path(args.folder).rglob("*.xplane.pb")) else 9
import jax
sys.modules["trace_command"] = Trace
raise SystemExit(commands.run("x", "", {"trace": ("trace_command", "")}, ["trace", sys.argv[1]]))
"""


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs requirements-pod.txt")
def test_a_trace_is_written_without_noise_though_libtpu_is_installed(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    ended = subprocess.run(
        [sys.executable, "-c", TRACE, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


FREED = """
import resource, sys
import numpy as np
from spirit_jax.core import process_setup
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(64 << 20, np.uint8).fill(1)  # freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
if sys.argv[1] == "kept":
    process_setup.set_up()
faults()
print(faults())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="a setting of glibc",
)
@pytest.mark.parametrize(("setting", "handed_back"), [("kept", False), ("default", True)])
def test_a_command_keeps_freed_memory(setting, handed_back):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))
    } | {"JAX_PLATFORMS": "cpu"}
    ended = subprocess.run(
        [sys.executable, "-c", FREED, setting],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (int(ended.stdout) > 16) == handed_back  # new pages: 16,384, or 32 huge ones


HUGE = """
import numpy as np
from spirit_jax.core import process_setup
process_setup.set_up()
filled = np.ones(64 << 20, np.uint8)
(line,) = [line for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")]
print(line.split()[1])
"""


@pytest.mark.skipif(
    not THP.exists() or "[never]" in THP.read_text(),
    reason="the kernel gives no huge pages",
)
def test_a_command_has_huge_pages():
    ended = subprocess.run(
        [sys.executable, "-c", HUGE],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "NUMPY_MADVISE_HUGEPAGE": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert int(ended.stdout) >= 60 << 10  # of 64 << 10 kB


@pytest.fixture
def machine(monkeypatch):
    """Sets what a machine has; restores `jax_platforms` afterwards."""

    def has(platforms: str | None, libtpu: bool, plugins: tuple = (), devices: tuple = ()) -> None:
        jax.config.update("jax_platforms", platforms)
        monkeypatch.setattr(
            process_setup.importlib.util, "find_spec", lambda name: object() if libtpu else None
        )
        monkeypatch.setattr(process_setup.importlib.metadata, "entry_points", lambda group: plugins)
        monkeypatch.setattr(
            process_setup.glob,
            "glob",
            lambda pattern: [name for name in devices if name.startswith(pattern[:9])],
        )

    before = jax.config.jax_platforms
    yield has
    jax.config.update("jax_platforms", before)


@pytest.mark.parametrize(
    ("has", "chosen"),
    [
        ((None, True), "cpu"),
        (("", True), "cpu"),
        ((None, False), None),
        (("tpu,cpu", True), "tpu,cpu"),
        ((None, True, (), ("/dev/accel0",)), None),
        ((None, True, (), ("/dev/vfio/0",)), None),
        ((None, True, ("cuda",)), None),
    ],
)
def test_the_cpu_is_chosen_where_there_is_nothing_but_libtpu(machine, has, chosen):
    machine(*has)
    process_setup.leave_out_idle_libtpu()
    assert jax.config.jax_platforms == chosen


def test_with_a_gpu_a_trace_is_refused_with_the_fix(machine):
    machine(None, True, ("cuda",))
    with pytest.raises(UserError, match="set JAX_PLATFORMS=cuda,cpu"):
        process_setup.check_profiler()
    machine("cuda,cpu", True, ("cuda",))
    process_setup.check_profiler()
