"""Read and write the HDF5 file. The only folder that imports h5py. FORMAT.md is the specification."""
