"""One protocol for encoders: how well each tells artists apart, on works alone. See docs/choose_an_encoder.md."""
