"""Operating system services: atomic files, locks, processors, devices, child processes with limits."""
