# SPDX-License-Identifier: Apache-2.0
"""orlop-init on its own: hand-written plans, no runtime, no Python of ours between them and it."""
