"""Plan to report, resumable. `audit.py` tells the whole story."""
