# Sourced by scripts/demo and scripts/test: create a virtual environment in .venv with imindex and its dependencies.
# IMINDEX_VENV sets another folder, PYTHON another interpreter (3.10 to 3.13). IMINDEX_LOCK=1 installs the versions of
# scripts/lock, for replays on Linux, x86-64 and Python 3.11.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="${IMINDEX_VENV:-$PWD/.venv}"
extra="${1:-}"
lock=()
if [ "${IMINDEX_LOCK:-}" = 1 ]; then
    lock=(--constraint scripts/lock/linux-x86_64-py311.txt)
fi
stamp="$venv/.imindex-installed$extra"

if [ ! -x "$venv/bin/python" ]; then
    echo "Creating a virtual environment in $venv" >&2
    "${PYTHON:-python3}" -m venv "$venv"
fi
# Install again only when the requirements have changed: about 2 minutes and 6 GB the first time.
requirements="$(cat setup.cfg pyproject.toml ${lock[1]:-}) $PWD"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$requirements" ]; then
    echo "Installing imindex and its dependencies (about 2 minutes, 6 GB with PyTorch)" >&2
    PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        ${lock[@]+"${lock[@]}"} --editable ".$extra"
    printf '%s' "$requirements" > "$stamp"
fi
# A link to the checkout named after the package, whatever the checkout's folder is called. mypy reads it.
mkdir -p "$venv/src"
ln -sfn "$PWD" "$venv/src/imindex"
export MYPYPATH="$venv/src" PATH="$venv/bin:$PATH"
