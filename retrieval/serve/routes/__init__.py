"""The routes, a file per subject. Each file has a `router`."""

from imindex.retrieval.serve.routes import health, indexes, pages

ROUTERS = (health.router, indexes.router, pages.router)
