# SPDX-License-Identifier: Apache-2.0
"""Completion for bash, zsh and fish: commands, flags, their values, containers, files.

Written once, when orlop is installed: completing a word runs orlop for container ids only, which
is `orlop list --quiet` with the --root of the line.
"""
