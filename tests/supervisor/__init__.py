# SPDX-License-Identifier: Apache-2.0
"""Tests of orlopd as a process, over its socket."""
