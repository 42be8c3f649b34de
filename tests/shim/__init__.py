# SPDX-License-Identifier: Apache-2.0
"""Tests of the shim as a process, over its socket."""
