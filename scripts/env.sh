# Sourced by scripts/demo and scripts/test: a virtual environment in .venv with imindex and what it needs.
# IMINDEX_VENV names another place; PYTHON another interpreter (3.10 to 3.13). With IMINDEX_LOCK=1 the versions are
# those of scripts/lock: for replays on Linux, x86-64 and Python 3.11.

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
    echo "Making a virtual environment in $venv" >&2
    "${PYTHON:-python3}" -m venv "$venv"
fi
# Installed anew only when the requirements have changed: about 2 minutes and 6 GB the first time.
wanted="$(cat setup.cfg pyproject.toml ${lock[1]:-}) $PWD"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "Installing imindex and what it needs (about 2 minutes, 6 GB with PyTorch)" >&2
    PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        ${lock[@]+"${lock[@]}"} --editable ".$extra"
    printf '%s' "$wanted" > "$stamp"
fi
# The checkout under the name of the package, whatever its folder is called: mypy looks there.
mkdir -p "$venv/src"
ln -sfn "$PWD" "$venv/src/imindex"
export MYPYPATH="$venv/src" PATH="$venv/bin:$PATH"
