# SPDX-License-Identifier: Apache-2.0
"""Everything that is C or touches it: system calls, the plan's format, the sealed init.

Imports nothing of ours. `ffi` appears in this package only.
"""
