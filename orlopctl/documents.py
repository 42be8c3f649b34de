# SPDX-License-Identifier: Apache-2.0
"""`python -m orlopctl.documents DIRECTORY`: orlopctl's man pages and completion."""

from __future__ import annotations

import sys

from orlopctl import cli
from runtime import documents

if __name__ == "__main__":
    documents.write(cli.program(), sys.argv[1])
