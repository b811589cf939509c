"""Chooses the form of each layer that is fastest on the devices that JAX uses, for all speech networks.

A form that is a module replaces its layer here, with arrays made from the weights. `product`, `depthwise` and
`correlate_strided` are functions of the same arrays in each form, so they also serve training, and XLA takes
the form of its platform (`jax.lax.platform_dependent`).
"""

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from flax import nnx

from spirit_jax.speech.kernels.attention import Attention, AttentionByHead
from spirit_jax.speech.kernels.convolution import Conv, GroupedConv
from spirit_jax.speech.kernels.short_convolution import HalvingConv, ToomCookConv
from spirit_jax.speech.kernels.spectral_convolution import SpectralConv
from spirit_jax.speech.kernels.strided_convolution import StridedConv

TOOM_COOK_FROM = 320  # taps times channels: below, its sums cost more than the products that it saves

Network = TypeVar("Network", bound=nnx.Module)

_made: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def fastest(network: Network) -> Network:
    """The same function in its fastest form, to within rounding (each form's test says how much), made once
    for each network. For inference: it is not stored and not trained.
    """
    if network not in _made:
        _made[network] = fast_form(network, jax.default_backend())
    return _made[network]


def fast_form(network: Network, backend: str) -> Network:
    """A copy with each layer in the form that is fastest on this kind of device: "cpu", "gpu" or "tpu"."""
    forms = FORMS.get(backend, {})
    return jax.tree.map(
        lambda node: forms[type(node)](node) if type(node) in forms else node,
        network,
        is_leaf=lambda node: type(node) in forms,
    )


def short_form(conv: Conv) -> Conv | ToomCookConv:
    """Toom and Cook's way for a large odd kernel."""
    taps, inputs, outputs = conv.kernel_KIO.shape
    large = taps % 2 and outputs >= 8 and taps * inputs >= TOOM_COOK_FROM
    return ToomCookConv(conv) if large else conv


def halving_form(conv: StridedConv) -> StridedConv | HalvingConv:
    """Toom and Cook's way for 3 taps and stride 2 of more than one channel."""
    taps, inputs, _ = conv.kernel_KIO.shape
    return HalvingConv(conv) if (taps, conv.stride) == (3, 2) and inputs > 1 else conv


FORMS: dict[str, dict[type, Callable[[Any], nnx.Module]]] = {
    "cpu": {
        Attention: AttentionByHead,
        Conv: short_form,
        GroupedConv: SpectralConv,
        StridedConv: halving_form,
    },
    "gpu": {GroupedConv: SpectralConv},
}
