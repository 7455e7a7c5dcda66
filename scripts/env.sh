# shellcheck shell=bash
# Sourced by scripts/demo, test and release: create a virtual environment in .venv with imindex and its dependencies.
# IMINDEX_VENV sets another folder, PYTHON another interpreter (3.10 to 3.13). IMINDEX_LOCK=1 installs the files of
# scripts/lock, each with its hash checked, for replays on Linux, x86-64 and Python 3.11.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="${IMINDEX_VENV:-$PWD/.venv}"
extra="${1:-}"
lock=""
if [ "${IMINDEX_LOCK:-}" = 1 ]; then
    lock=scripts/lock/linux-x86_64-py311.txt
fi
stamp="$venv/.imindex-installed$extra"

if [ ! -x "$venv/bin/python" ]; then
    echo "Creating a virtual environment in $venv" >&2
    "${PYTHON:-python3}" -m venv "$venv"
fi
# Install again only when the requirements have changed: about 2 minutes and 6 GB the first time.
requirements="$(cat setup.cfg pyproject.toml $lock) $PWD"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$requirements" ]; then
    echo "Installing imindex and its dependencies (about 2 minutes, 6 GB with PyTorch)" >&2
    pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    if [ -n "$lock" ]; then
        PYTHONWARNINGS=ignore "${pip[@]}" --no-deps --require-hashes --requirement "$lock"
        PYTHONWARNINGS=ignore "${pip[@]}" --no-deps --no-build-isolation --editable .
    else
        PYTHONWARNINGS=ignore "${pip[@]}" --editable ".$extra"
    fi
    printf '%s' "$requirements" > "$stamp"
fi
# A link to the checkout named after the package, whatever the checkout's folder is called. mypy reads it.
mkdir -p "$venv/src"
ln -sfn "$PWD" "$venv/src/imindex"
export MYPYPATH="$venv/src" PATH="$venv/bin:$PATH"
