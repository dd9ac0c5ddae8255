"""How many values a serialised message holds, counted on the wire, before anything is made of them.

A message of 64 MiB may hold thirty million values of two bytes, and takes seconds and gigabytes to
parse. Counting stops at the limit. Fields that hold bytes count once, whatever their size.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from podway.export.server.api.aside import Check
from podway.export.server.limits import Limits

_BYTES, _VARINTS = "bytes", "varints"
_WIDTHS = {
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_FLOAT: 4,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_CHECK_EVERY = 4096


def check(data: bytes, kind: type[Any], limits: Limits, waits: Check) -> None:
    """Raises RequestError of a message with too many values, DecodeError if it is none.

    What it does not know it leaves to the parser.
    """
    count, todo = 0, [(0, len(data), kind.DESCRIPTOR)]
    while todo:
        at, end, descriptor = todo.pop()
        fields = _fields(descriptor)
        while at < end:
            count += 1
            if count % _CHECK_EVERY == 0:
                waits()
                limits.check_elements(count)
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = _varint(data, at - 1, end)
            wire = tag & 7
            if wire == _LENGTH:
                if at >= end:
                    raise DecodeError("a field has no length")
                length = data[at]
                at += 1
                if length > 127:
                    length, at = _varint(data, at - 1, end)
                if length > end - at:
                    raise DecodeError("a field is longer than its message")
                what = fields.get(tag >> 3, _BYTES)
                if isinstance(what, Descriptor):
                    if length:
                        todo.append((at, at + length, what))
                elif isinstance(what, int):
                    count += length // what
                elif what is _VARINTS:
                    count += _ends(data, at, length)
                at += length
            elif wire == _VARINT:
                while at < end and data[at] > 127:
                    at += 1
                at += 1
            elif wire == _FIXED32:
                at += 4
            elif wire == _FIXED64:
                at += 8
            else:
                raise DecodeError("a field is of no kind that there is")
        if len(todo) > limits.elements:
            limits.check_elements(len(todo))
    limits.check_elements(count)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise DecodeError("a number has no end")


def _ends(data: bytes, at: int, length: int) -> int:
    """How many varints lie there: bytes that are the last of one."""
    return int(np.count_nonzero(np.frombuffer(data, np.int8, length, at) >= 0))


@functools.cache
def _fields(descriptor: Descriptor) -> Mapping[int, Any]:
    """Number of a field → the message that it holds, the width of its numbers, or their kind."""
    found: dict[int, Any] = {}
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            found[field.number] = field.message_type
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            found[field.number] = _BYTES
        else:
            found[field.number] = _WIDTHS.get(field.type, _VARINTS)
    return found
