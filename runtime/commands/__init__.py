# SPDX-License-Identifier: Apache-2.0
"""One module a verb.

Each has USAGE, FLAGS, ARGUMENTS (least and most), run(call, options, arguments) -> exit status.
"""
