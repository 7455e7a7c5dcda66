"""An index as files of other programs, a file per target."""
