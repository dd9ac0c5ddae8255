from tests.export.server.conftest import client, library, site

__all__ = ["client", "library", "site"]
