"""What the tests on people share."""

from collections.abc import Iterator

import pytest

from tests.support.signing_in import PASSWORDS


@pytest.fixture(autouse=True, scope="session")
def _no_thread_stays() -> Iterator[None]:
    """The threads that hash end with the tests."""
    yield
    PASSWORDS._threads.shutdown()
