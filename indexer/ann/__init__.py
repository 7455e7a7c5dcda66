"""Exact and approximate nearest-neighbour search. The only folder that imports faiss."""
