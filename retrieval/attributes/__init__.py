"""Style attributes of pictures: what is measured, what is asked of a text encoder, and the words for both."""
