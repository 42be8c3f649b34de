# SPDX-License-Identifier: Apache-2.0
"""One module a verb: USAGE, FLAGS, ARGUMENTS (least and most), run(call, options, arguments) -> status."""
