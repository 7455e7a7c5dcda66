"""Is this machine fit for imindex, and an index in order?"""
