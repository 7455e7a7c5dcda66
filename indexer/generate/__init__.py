"""Names and prompt templates to pictures and a manifest. The only folder that imports diffusers."""
