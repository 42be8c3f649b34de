# SPDX-License-Identifier: Apache-2.0
"""What `--help` and the man pages say of orlopctl beyond its commands. Nothing loads it else."""

from __future__ import annotations

TEXT = (
    "orlopctl asks orlopd, which must run, to create, start, watch and remove containers. A "
    "container is of a directory with a root file system, or of an OCI bundle. Flags may stand "
    "behind arguments, and switches of one letter together, as -it."
)
EXAMPLES = (
    ("orlopctl run --rm -it /srv/alpine sh", "a shell in a container"),
    ("orlopctl run -d --name web /srv/alpine httpd -f", "one in the background"),
    ("orlopctl logs -f web", "what it writes"),
)
STATUS = (("0", "it is done"), ("1", "it is not; standard error says why"), ("130", "interrupted"))
OF_PROGRAMS = (
    ("0-255", "the program's own"),
    ("128+N", "signal N ended it"),
    ("0", "also: with --detach, it runs; or the keys let go of it"),
    ("125", "it could not be run; standard error says why"),
)
FILES = (
    ("/run/orlopd", "root's orlopd; --root names another directory"),
    ("$XDG_RUNTIME_DIR/orlopd", "that of an unprivileged user"),
)
ENVIRONMENT = (
    ("XDG_RUNTIME_DIR", "where an unprivileged user's orlopd is"),
    ("NO_COLOR", "set to anything: no colours (https://no-color.org)"),
)
