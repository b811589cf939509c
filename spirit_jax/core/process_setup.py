"""Process-wide settings before JAX starts: its backends, and on a CPU the C library's memory.

An installed libtpu, which `make check-pod` compiles with, must not make JAX look for TPUs.
"""

import ctypes
import glob
import importlib.metadata
import importlib.util
import mmap
import os
from typing import Any

from spirit_jax.core.errors import UserError

PLATFORMS = "jax_platforms"  # the setting that JAX_PLATFORMS begins with
TPU_DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*")
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # glibc's malloc.h
NEVER = -1  # as M_TRIM_THRESHOLD


def loads_idle_libtpu() -> bool:
    """True if JAX would load libtpu without a TPU. That logs noisily, and its profiler can crash."""
    if getattr(_config(), PLATFORMS):  # chosen by the user, or "tpu,cpu" by JAX, which found TPUs
        return False
    return importlib.util.find_spec("libtpu") is not None and not has_tpu()


def has_tpu() -> bool:
    """Whether this machine has device files of a TPU."""
    return any(glob.glob(pattern) for pattern in TPU_DEVICES)


def has_plugin() -> bool:
    """Whether another backend, such as a GPU's, is installed."""
    return bool(importlib.metadata.entry_points(group="jax_plugins"))


def set_up() -> None:
    """All settings of a command. Call it before JAX starts."""
    leave_out_idle_libtpu()
    if getattr(_config(), PLATFORMS) == "cpu" or not (has_tpu() or has_plugin()):
        set_up_heap()


def leave_out_idle_libtpu() -> None:
    """Restricts JAX to the CPU where it would load libtpu without a TPU and has no other backend."""
    if loads_idle_libtpu() and not has_plugin():
        _config().update(PLATFORMS, "cpu")


def set_up_heap() -> None:
    """Makes glibc keep freed memory for the next allocation, and the kernel give it huge pages. Other C
    libraries are left as they are.

    XLA frees all buffers of a step. By default glibc returns large ones to the kernel, and the next step
    waits for the kernel to zero new pages. With small pages, reading weights waits for addresses to be looked
    up (docs/benchmarks.md).
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)  # other arenas than the first are limited in size
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
        _use_huge_pages(libc)


def _use_huge_pages(libc: ctypes.CDLL) -> None:
    """Lets the heap grow to half of the machine's memory at once, unused, and asks for huge pages there.
    Where a limit forbids it, nothing changes.
    """
    size = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.free.argtypes = (ctypes.c_void_p,)
    if room := libc.malloc(size):
        start = -(-room // mmap.PAGESIZE) * mmap.PAGESIZE
        libc.madvise(start, room + size - start, mmap.MADV_HUGEPAGE)
        libc.free(room)


def check_profiler() -> None:
    """Raises a UserError where a trace would kill the process."""
    if loads_idle_libtpu():
        rule = "JAX would load libtpu without a TPU, and its profiler may crash"
        raise UserError("JAX_PLATFORMS", getattr(_config(), PLATFORMS), rule, "set JAX_PLATFORMS=cuda,cpu")


def _config() -> Any:
    """JAX's. It is imported here, since processes that only have their heap set up do without JAX."""
    import jax

    return jax.config
