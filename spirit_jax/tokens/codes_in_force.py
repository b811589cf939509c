"""The codes of slow streams in force at a place of a merged stream, where speech begins in the middle of an
utterance.

Shapes: N tokens, K of them of one stream, G places, S streams without the units.
"""

from collections.abc import Sequence

import numpy as np

NONE = -1  # no code has to be repeated


def codes_in_force(ids_N: np.ndarray, at: Sequence[np.ndarray], begin_G: np.ndarray) -> np.ndarray:
    """The ids that speech from token begin_G[g] on has to repeat so that it can be spoken by itself (our
    choice): int32 [G, S] in the order of merging.

    at: for each stream of the table, the units first, the ascending places of its tokens; those from N on do
    not count. A stream's last id before the place is repeated; NONE where there is none, or the stream has
    another before the next unit.
    """
    units_K, slow = at[0], at[:0:-1]
    code_GS = np.full((len(begin_G), len(slow)), NONE, np.int32)
    if not slow:
        return code_GS
    first_unit_G = np.append(units_K, len(ids_N))[units_K.searchsorted(begin_G)].clip(max=len(ids_N))
    for column, at_K in enumerate(slow):
        before_G = at_K.searchsorted(begin_G)
        repeated_G = (before_G > 0) & (before_G == at_K.searchsorted(first_unit_G))
        code_GS[repeated_G, column] = ids_N[at_K[before_G[repeated_G] - 1]]
    return code_GS
