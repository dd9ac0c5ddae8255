"""What one request may cost; known before the work begins, and said by the flag's name."""

import dataclasses

from podway.export.server.error import too_large
from podway.export.server.options import LimitOptions

SMALL = 64 << 10
"""Bytes of a request that is read on the event loop; a larger one is read beside it."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of every request; LimitOptions says what each is.

    Attributes:
      request_bytes: --max_request_bytes.
      rows: --max_request_rows.
      elements: --max_request_elements.
      ratio: --max_request_ratio.
      pending_bytes: --max_pending_bytes.
    """

    request_bytes: int = LimitOptions.max_request_bytes
    rows: int = LimitOptions.max_request_rows
    elements: int = LimitOptions.max_request_elements
    ratio: int = LimitOptions.max_request_ratio
    pending_bytes: int = LimitOptions.max_pending_bytes

    @classmethod
    def of(cls, options: LimitOptions) -> "Limits":
        """The limits that the options name."""
        return cls(
            request_bytes=options.max_request_bytes,
            rows=options.max_request_rows,
            elements=options.max_request_elements,
            ratio=options.max_request_ratio,
            pending_bytes=options.max_pending_bytes,
        )

    def check_bytes(self, size: int) -> None:
        """Raises RequestError of a request of so many bytes, if it is too large."""
        if size > self.request_bytes:
            raise too_large(
                f"the request has more than {self.request_bytes} bytes (--max_request_bytes);"
                " send several smaller ones"
            )

    def check_rows(self, rows: int) -> None:
        """Raises RequestError of a request of so many rows, if they are too many."""
        if rows > self.rows:
            raise too_large(
                f"the request has {rows} rows, more than {self.rows} (--max_request_rows); send"
                " several smaller ones"
            )

    def check_elements(self, elements: int) -> None:
        """Raises RequestError of a request of so many values, if they are too many."""
        if elements > self.elements:
            raise too_large(
                f"the request has more than {self.elements} values (--max_request_elements); send"
                " several smaller ones, or numbers as tensor_content"
            )
