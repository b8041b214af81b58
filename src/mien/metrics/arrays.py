"""The types of the arrays that metrics take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


Floats = NDArray[np.floating]


Bools = NDArray[np.bool_]
