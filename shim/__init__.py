# SPDX-License-Identifier: Apache-2.0
"""The shim: one process that owns a container's stdio, reaps it, and answers for it over ttrpc.

Docs: docs/shim.md.
"""
