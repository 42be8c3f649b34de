# SPDX-License-Identifier: Apache-2.0
"""Attacks on the runtime, and the runtime under pressure; docs/security.md has the table."""
