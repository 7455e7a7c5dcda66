"""An index to and from a dataset repository of a hub."""
