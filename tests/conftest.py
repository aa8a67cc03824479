"""What all tests share. Environment variables come first: they must be set before JAX is imported."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")  # a test compiles what it tests
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

for noisy in ("apache_beam", "tensorflow", "absl"):
    logging.getLogger(noisy).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="apache_beam")

# Two shared cores make wall-clock deadlines lie; the examples are the same in every run of one version.
settings.register_profile(
    "pairstream",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=100,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pairstream"))


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data in its original formats. It is never part of the repository, so a machine may lack it."""
    found = Path(os.environ.get("PAIRSTREAM_TEST_DATA") or ROOT / "../shared/data")
    if not (found / "README.md").is_file():
        pytest.skip(f"no test data at {found}; set PAIRSTREAM_TEST_DATA to the folder that holds reddit/, mixtures/ …")
    return found.resolve()
