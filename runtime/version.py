# SPDX-License-Identifier: Apache-2.0
"""This build's version. The commit is written by the build where there is one to name."""

from __future__ import annotations

VERSION = "0.1.0"
COMMIT = "unknown"
