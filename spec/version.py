# SPDX-License-Identifier: Apache-2.0
"""The versions of the OCI runtime specification that this project speaks."""

from __future__ import annotations

OCI_VERSION = "1.3.0"
"""The newest version that is implemented: `ociVersion` of states, `ociVersionMax` of features."""

OCI_VERSION_MIN = "1.0.0"
"""The oldest version that is accepted: `ociVersionMin` of features."""
