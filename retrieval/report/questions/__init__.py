"""The sections of a report that answer the further questions of a plan, a file per question."""
