import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(scope="session")
def captures():
    """Folder of real captured deliveries; they belong to other projects and are not part of this repository."""
    where = os.environ.get("STANDPIPE_CAPTURES")
    if not where:
        pytest.skip("STANDPIPE_CAPTURES is not set: no real captures here")
    return pathlib.Path(where)
