"""`python -m imindex`."""

from imindex import main

main(prog_name="imindex")
