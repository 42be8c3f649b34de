# SPDX-License-Identifier: Apache-2.0
"""Tests of the shim's layers, without containers."""
