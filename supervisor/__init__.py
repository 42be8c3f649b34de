# SPDX-License-Identifier: Apache-2.0
"""`orlopd`: containers through shims, driven over JSON-RPC 2.0 on a unix socket.

The one package that lives long and may use asyncio; nothing on a container's start path imports it.
"""
