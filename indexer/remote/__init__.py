"""Read and write objects by URL: object stores and https."""
