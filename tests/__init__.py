# SPDX-License-Identifier: Apache-2.0
"""The test suite. `tests.support` is what tests share; conftest.py files make fixtures of it."""
