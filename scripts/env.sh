# Sourced by scripts/demo and scripts/test: a virtual environment in .venv with imindex and what it needs.
# IMINDEX_VENV names another place; PYTHON another interpreter (3.10 to 3.13).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="${IMINDEX_VENV:-$PWD/.venv}"
extra="${1:-}"
stamp="$venv/.imindex-installed$extra"

if [ ! -x "$venv/bin/python" ]; then
    echo "Making a virtual environment in $venv" >&2
    "${PYTHON:-python3}" -m venv "$venv"
fi
# Installed anew only when the requirements have changed: about 2 minutes and 6 GB the first time.
wanted="$(cat setup.cfg pyproject.toml) $PWD"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "Installing imindex and what it needs (about 2 minutes, 6 GB with PyTorch)" >&2
    PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".$extra"
    printf '%s' "$wanted" > "$stamp"
fi
export PATH="$venv/bin:$PATH"
