"""Download artists' works from a list of URLs, as their owners allow: `imindex fetch`."""
