# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime specification, checked: schemas, rules, types, and the loading of a bundle.

Nothing is imported here, so that a caller pays only for the modules that it names.
"""
