#!/bin/sh
# Compile peer_openmpi.c with Open MPI's own compiler, and run it in two processes on one machine.
# Without Open MPI (Debian: libopenmpi-dev, openmpi-bin) say so.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
missing() {
    printf 'missing\t%s\n' "$1"
    exit 0
}
command -v mpirun >/dev/null 2>&1 && command -v mpicc >/dev/null 2>&1 ||
    missing "Debian's libopenmpi-dev and openmpi-bin are not installed"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mpicc -O2 -o "$dir/peer" "$here/peer_openmpi.c" 2>"$dir/log" || missing 'mpicc does not compile it'
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,vader \
    mpirun --oversubscribe --bind-to core -np 2 "$dir/peer" 2>"$dir/log" ||
    missing 'mpirun does not run it here'
