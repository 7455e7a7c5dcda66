"""The data model of an index, as plain data. Imports nothing else from imindex."""
