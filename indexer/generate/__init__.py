"""Generate pictures and a manifest from names and prompt templates. The only folder that imports diffusers."""
