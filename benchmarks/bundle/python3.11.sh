#!/bin/sh
# The carried Python 3.11 with the packages that environments need; libraries of the system come
# first.
here=$(cd "$(dirname "$0")" && pwd)
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu:$here/python/lib/x86_64-linux-gnu:$here/python/usr/lib/x86_64-linux-gnu"
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$here/packages" PYTHONHOME="$here/python/usr" PYTHONNOUSERSITE=1
exec "$here/python/usr/bin/python3.11" "$@"
