"""What a command sets before JAX starts: which backends, and on a CPU how the C library keeps memory.

libtpu, the compiler of `make check-pod`, is no reason to look for TPUs on a machine that has none.
"""

import ctypes
import glob
import importlib.metadata
import importlib.util

import jax

from spirit_jax.core.errors import UserError

PLATFORMS = "jax_platforms"  # the setting that JAX_PLATFORMS begins with
TPU_DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*")
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # glibc's malloc.h
NEVER = -1


def loads_idle_libtpu() -> bool:
    """Whether JAX will load libtpu without a TPU, which tells at length what it can't find; and the profiler
    of one newer than jaxlib crashes.
    """
    if getattr(jax.config, PLATFORMS):  # chosen by the user, or "tpu,cpu" by JAX, which found TPUs
        return False
    return importlib.util.find_spec("libtpu") is not None and not has_tpu()


def has_tpu() -> bool:
    """Whether this machine shows a TPU's device files."""
    return any(glob.glob(place) for place in TPU_DEVICES)


def has_plugin() -> bool:
    """Whether another backend, such as a GPU's, is installed."""
    return bool(importlib.metadata.entry_points(group="jax_plugins"))


def set_up() -> None:
    """To be called before anything touches a device."""
    leave_out_idle_libtpu()
    if getattr(jax.config, PLATFORMS) == "cpu" or not (has_tpu() or has_plugin()):
        keep_freed_memory()


def leave_out_idle_libtpu() -> None:
    """Where a GPU's plugin is installed JAX goes on choosing by itself."""
    if loads_idle_libtpu() and not has_plugin():
        jax.config.update(PLATFORMS, "cpu")


def keep_freed_memory() -> None:
    """Makes this process keep what it frees, which XLA does with all buffers of a step: glibc hands large
    ones back to the kernel, and the next step waits while the kernel fills them with zeros anew
    (docs/benchmarks.md). Other C libraries have no `mallopt` and stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)  # an arena other than the first is limited in size
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def check_profiler() -> None:
    """Raises a UserError where a trace would kill the process."""
    if loads_idle_libtpu():
        rule = "JAX would load libtpu, though there is no TPU here, and its profiler may crash"
        raise UserError("JAX_PLATFORMS", getattr(jax.config, PLATFORMS), rule, "set JAX_PLATFORMS=cuda,cpu")
