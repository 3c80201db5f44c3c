"""The served application on each engine, without a worker."""

from tests.api.conftest import _quiet, new_store, receiver, site, still_site

__all__ = ["_quiet", "new_store", "receiver", "site", "still_site"]
