#!/usr/bin/env bash
# Puts promtool at the path that is given: the one that is installed, else that of Debian's package, unpacked without
# installing it. Where there is neither, it says so and leaves nothing.
set -euo pipefail
to=$1
mkdir -p "$(dirname "$to")"
if have=$(command -v promtool); then
    ln -sf "$have" "$to"
elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    if apt-get download --quiet prometheus 2>&1 | grep -v "performed unsandboxed" >&2; [ "${PIPESTATUS[0]}" = 0 ]; then
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract ./usr/bin/promtool
        cd - >/dev/null
        mv "$folder/usr/bin/promtool" "$to"
    else
        cd - >/dev/null
    fi
fi
[ -x "$to" ] || echo "promtool is not installed, and can't be had: alerts and metrics are not checked with it"
