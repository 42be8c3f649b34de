# SPDX-License-Identifier: Apache-2.0
"""Completion for bash, zsh and fish: commands, flags, their values, containers, files.

Written once, when orlop is installed: completing a word runs the program for container ids only,
with the --root of the line (`orlop list --quiet`).
"""
