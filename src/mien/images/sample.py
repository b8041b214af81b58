"""A portrait that every installation has."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def sample_portrait() -> Path:
    """The public-domain portrait of Grace Hopper that matplotlib brings: (600, 512, 3), one face."""
    spec = find_spec(
        "matplotlib"
    )  # found, not loaded: that takes a while, and makes a folder in the user's home
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("mien needs matplotlib: pip install matplotlib")
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
