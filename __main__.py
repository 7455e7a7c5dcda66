"""`imindex` and `python -m imindex`."""

from imindex.indexer.terminal.interrupts import INTERRUPTS


def run() -> None:
    """Run the command line, and end with its exit code."""
    INTERRUPTS.install()
    from imindex import main

    try:
        main(prog_name="imindex")
    except SystemExit as end:
        INTERRUPTS.end()
        if INTERRUPTS.received and isinstance(end.code, int) and end.code > 128:
            INTERRUPTS.stop(end.code)
        raise


if __name__ == "__main__":
    run()
