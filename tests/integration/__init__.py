# SPDX-License-Identifier: Apache-2.0
"""Tests of real containers on the real kernel: most need root."""
