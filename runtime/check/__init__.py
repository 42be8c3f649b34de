# SPDX-License-Identifier: Apache-2.0
"""Can this bundle run on this host? Everything that keeps it from running, before anything is run.

`bundle.check` asks what a start would ask (the same code, which makes nothing up to there), and
the host: `observed` is what of it counts, read at once; `process`, `linux` and `paths` are pure
functions of it and of the spec, but for looking at paths; `rootfs` looks into the root file
system, which nobody trusts. Nothing is ever changed.
"""
