"""From a plan to a report, resumable. `retrieval/audit/audit.py` is the whole pipeline."""
