"""The routes, a file per subject. Each file has a `router`."""

from imindex.retrieval.serve.routes import audits, health, indexes, maps, pages, query

ROUTERS = (health.router, query.router, indexes.router, audits.router, maps.router, pages.router)
