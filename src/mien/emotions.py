"""The former place of `mien.labels`, for one release."""

from mien.labels import *  # noqa: F403
