"""Decode files to RGB pixels and resize them for the encoder, or give the reason for a rejection."""
