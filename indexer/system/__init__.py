"""The operating system: atomic files, locks, processors, devices, child processes with limits."""
