"""Where pictures are read, decoded and encoded: in this process, or on a cluster."""
