# SPDX-License-Identifier: Apache-2.0
"""What a configuration must satisfy beyond its schema.

Rules of the standard's prose, of the kernel, and of good sense.

A rule is a small function from the spec to the violations it finds; its docstring names its source.
All rules are applied, so that a user sees every problem at once. They are pure: what depends on the
host (is the kernel new enough, does the path exist, is a joined namespace the host's own) is the
runtime's to check. All of them expect a spec that its schema accepts.
"""
