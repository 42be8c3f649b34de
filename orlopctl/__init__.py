# SPDX-License-Identifier: Apache-2.0
"""`orlopctl`: orlopd's command line for people, over the public package `orlop`.

A module for each theme, whose VERBS are its commands; orlopctl.cli imports the one asked for.
"""
