"""Sizes of an encoder of the wav2vec 2.0 family, and the relation of samples and frames."""

import enum
import itertools
import operator

from spirit_jax.core.errors import UserError, require_positive
from spirit_jax.core.settings import part
from spirit_jax.tokens.streams import SAMPLE_RATE

NORM_EPS = 1e-5  # of the norms of the convolutions, and the default of the others
TILE_SECONDS = 1.2  # the fastest of 0.4 to 3 on a CPU
WHOLE_FROM = SAMPLE_RATE // 400  # samples between frames, from which convolutions run without tiles


class ConvNorm(enum.Enum):
    """What follows the convolutions: a norm of each channel over time after the first one, or a norm over the
    channels after each.
    """

    GROUP = "group"
    LAYER = "layer"


@part
class ConvShape:
    """Channels, taps and stride of one convolution."""

    channels: int
    taps: int
    stride: int

    def __post_init__(self):
        require_positive(self, "convolution", "channels", "taps", "stride")


@part
class Wav2Vec2Config:
    """Sizes of an encoder. `project`: a linear layer from the convolutions' channels to the width, which
    fairseq omits where the two are equal. `position_batch_norm`: a batch norm before the positional
    convolution.
    """

    convs: tuple[ConvShape, ...]
    width: int
    mlp_width: int
    heads: int
    layers: int
    position_taps: int
    position_groups: int
    conv_norm: ConvNorm = ConvNorm.GROUP
    conv_bias: bool = False
    project: bool = True
    pre_norm: bool = False
    norm_eps: float = NORM_EPS
    position_batch_norm: bool = False

    def __post_init__(self):
        require_positive(
            self,
            "encoder",
            "width",
            "mlp_width",
            "heads",
            "layers",
            "position_taps",
            "position_groups",
            "norm_eps",
        )
        if not self.convs:
            raise UserError(
                "encoder.convs", "()", "needs at least one convolution", "use a complete configuration"
            )
        for name, divisor in (("heads", self.heads), ("position_groups", self.position_groups)):
            if self.width % divisor:
                raise UserError(
                    f"encoder.{name}",
                    divisor,
                    f"must divide the width {self.width}",
                    "use a matching configuration",
                )
        if not self.project and self.convs[-1].channels != self.width:
            raise UserError(
                "encoder.project",
                False,
                f"needs as many channels as width, {self.width}",
                "use a matching configuration",
            )

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        hop = 1
        for conv in self.convs:
            hop *= conv.stride
        return hop

    def sample_count(self, frames: int, first: int = 0) -> int:
        """Samples that `frames` frames depend on; with `first`, the inputs of that convolution that they
        depend on.
        """
        for conv in reversed(self.convs[first:]):
            frames = (frames - 1) * conv.stride + conv.taps
        return frames

    def most_samples(self, frames: int) -> int:
        """The most samples that give `frames` frames. The norm over time uses the last of them too."""
        return self.sample_count(frames + 1) - 1

    def frame_count(self, samples):
        """Frames of `samples` samples, an int or an array; 0 if there are too few for one."""
        for conv in self.convs:
            samples = (samples - conv.taps) // conv.stride + 1
        return (samples + abs(samples)) // 2

    @property
    def tile(self) -> int:
        """Frames that `tiled_convs` compute at a time, so that memory stays flat."""
        return max(1, round(TILE_SECONDS * SAMPLE_RATE / self.hop))

    @property
    def tiled_convs(self) -> int:
        """The number of first convolutions that run in tiles: up to the first that gives 400 frames a
        second or fewer. The others are faster without tiles.
        """
        hops = itertools.accumulate((conv.stride for conv in self.convs), operator.mul)
        return next((i for i, hop in enumerate(hops, 1) if hop >= WHOLE_FROM), len(self.convs))
