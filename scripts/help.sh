#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the targets of a Makefile that carry a `##` comment.
set -euo pipefail

echo "usage: make TARGET"
echo
awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $1, $2 }' "$1"
