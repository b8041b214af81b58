"""The version of mien: read here by the build as well."""

__version__ = "0.1.0"
