# SPDX-License-Identifier: Apache-2.0
"""What tests share: the machine's features, the runtime under test, bundles, containers, leaks."""
