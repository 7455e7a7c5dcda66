"""Make, keep and check indexes: pictures become vectors in one HDF5 file."""
