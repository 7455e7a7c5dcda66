"""Build, maintain and verify indexes: HDF5 files that hold a vector per picture."""
