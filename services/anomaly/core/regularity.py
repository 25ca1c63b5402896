"""The errors of one video -> the paper's regularity score: 1 is as normal as this video gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def regularity(errors: NDArray[np.floating]) -> NDArray[np.float64]:
    """s(t) = 1 - (e(t) - min e) / max e, over one whole video (Zhao et al., ACM MM 2017).

    It looks at the whole video, the future included, so it is for plots and for comparison with
    the literature; live cameras are judged by their baselines. A video without error is regular.
    """
    values = np.asarray(errors, dtype=np.float64)
    worst = values.max()
    if worst <= 0.0:
        return np.ones_like(values)
    score: NDArray[np.float64] = 1.0 - (values - values.min()) / worst
    return score
