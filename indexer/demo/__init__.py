"""The demo: invented artists whose pictures are drawn by rule, and small models that come with the package."""
