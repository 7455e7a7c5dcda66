"""Read, decode, encode, checkpoint, merge: many pictures become one new index file."""
