# SPDX-License-Identifier: Apache-2.0
"""Property tests have no deadline: on a busy machine an example may take any time."""

from hypothesis import settings

settings.register_profile("orlop", deadline=None)
settings.load_profile("orlop")
