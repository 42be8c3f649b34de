# SPDX-License-Identifier: Apache-2.0
"""Command line, lifecycle, state, cgroups, and the concerns that compile a spec.

A library first: `create.create`, `start.start`, … are what the command line calls, as a shim does.
"""
