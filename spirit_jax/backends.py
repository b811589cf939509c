"""Which backends JAX starts. libtpu, the compiler of `make check-pod`, is no reason to look for TPUs on a machine that has none."""

import glob
import importlib.metadata
import importlib.util

import jax

from spirit_jax.errors import UserError

PLATFORMS = "jax_platforms"  # the setting that JAX_PLATFORMS begins with
TPU_DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*")


def loads_idle_libtpu() -> bool:
    """Whether JAX will load libtpu without a TPU, which tells at length what it can't find; and the profiler of one newer than jaxlib crashes."""
    if getattr(jax.config, PLATFORMS):  # chosen by the user, or "tpu,cpu" by JAX, which found TPUs
        return False
    return importlib.util.find_spec("libtpu") is not None and not any(glob.glob(place) for place in TPU_DEVICES)


def leave_out_idle_libtpu() -> None:
    """To be called before anything touches a device. Where a GPU's plugin is installed JAX goes on choosing by itself."""
    if loads_idle_libtpu() and not importlib.metadata.entry_points(group="jax_plugins"):
        jax.config.update(PLATFORMS, "cpu")


def check_profiler() -> None:
    """Raises a UserError where a trace would kill the process."""
    if loads_idle_libtpu():
        rule = "JAX would load libtpu, though there is no TPU here, and its profiler may crash"
        raise UserError("JAX_PLATFORMS", getattr(jax.config, PLATFORMS), rule, "set JAX_PLATFORMS=cuda,cpu")
