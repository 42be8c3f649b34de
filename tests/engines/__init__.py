# SPDX-License-Identifier: Apache-2.0
"""Real engines, from the distribution's packages, drive the runtime."""
