"""The plugin's fixture and its seeds, without the options that only a topmost conftest may add."""

from unisono.testing.plugin import cluster, pytest_generate_tests

__all__ = ["cluster", "pytest_generate_tests"]
