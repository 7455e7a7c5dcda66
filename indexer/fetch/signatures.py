"""The format of a picture by its first bytes, and whether a body is a picture at all."""

from __future__ import annotations

from imindex.indexer.decode.formats import unsupported
from imindex.indexer.sources.stray import starts_as_picture

HEAD = 64
"""Bytes that tell a picture."""
_SUFFIXES = (
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"GIF8", ".gif"),
    (8, b"WEBP", ".webp"),
    (0, b"II*\0", ".tif"),
    (0, b"MM\0*", ".tif"),
    (0, b"II+\0", ".tif"),
    (0, b"MM\0+", ".tif"),
    (4, b"ftypavi", ".avif"),
    (4, b"ftyp", ".heic"),
    (0, b"\xff\x0a", ".jxl"),
    (0, b"\0\0\0\x0cJXL ", ".jxl"),
    (0, b"\0\0\0\x0cjP  ", ".jp2"),
    (0, b"\xff\x4f\xff\x51", ".j2k"),
    (0, b"8BPS", ".psd"),
    (0, b"DDS ", ".dds"),
    (0, b"qoif", ".qoi"),
    (0, b"\0\0\x01\0", ".ico"),
    (0, b"BM", ".bmp"),
    (0, b"P", ".pnm"),
)


def suffix_of(head: bytes) -> str:
    """Return the suffix of a picture by its first bytes; empty for what is none.

    Examples
    --------
    >>> suffix_of(b"\\xff\\xd8\\xff\\xe0\\0\\x10JFIF"), suffix_of(b"<!DOCTYPE html>")
    ('.jpg', '')
    """
    if not starts_as_picture(head):
        return ""
    return next((suffix for start, magic, suffix in _SUFFIXES if head.startswith(magic, start)), "")


def no_picture(head: bytes, content_type: str) -> str:
    """Return what a body is that is not a picture, for people."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    if what := unsupported(head):
        return f"not a picture that imindex reads: {what}"
    if not head:
        return "the body is empty"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--")):
        what = "an HTML page, such as an error page or a page around the picture"
    elif start.startswith((b"{", b"[")):
        what = "JSON"
    elif head.startswith(b"\x1f\x8b"):
        what = "compressed data (gzip)"
    else:
        what = "of an unknown format"
    return f"not a picture: {what}" + (f" ({content_type[:60]})" if content_type else "")
