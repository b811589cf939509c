"""Named float32 arrays that are trained without a network around them, such as a codebook and its scale."""

import numpy as np


class Table(dict[str, np.ndarray]):
    """Arrays by name. A separate type, so that a codec's folder stores it with its weights."""
