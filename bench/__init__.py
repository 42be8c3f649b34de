# SPDX-License-Identifier: Apache-2.0
"""Measurements of this project beside its peers: `make bench`, docs/performance.md."""
