"""Settings of the documentation. Build it with scripts/docs.

The root of the sources is the checkout, so that links between pages work in the repository and on the site alike.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "imindex"
copyright = "the authors of imindex, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "checkout"]
root_doc = "docs/index"
include_patterns = [
    "CHANGELOG.md",
    "docs/*.md",
    "docs/howto/*.md",
    "docs/reference/*.md",
    "stats/*.md",
    "retrieval/*.md",
    "indexer/*.md",
    "indexer/*/*.md",
    "indexer/demo/*/*.md",
    "scripts/lock/README.md",
]
exclude_patterns = ["docs/_build", "**/.venv"]
source_suffix = {".md": "myst-nb"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
suppress_warnings = ["myst.xref_missing", "docutils", "ref.python", "misc.highlighting_failure"]
html_theme = "furo"
html_title = "imindex"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["imindex.css"]
html_favicon = "../retrieval/serve/static/icon.svg"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5f8a", "color-brand-content": "#0b5f8a"},
    "dark_css_variables": {"color-brand-primary": "#74bde6", "color-brand-content": "#74bde6"},
}
templates_path = []
