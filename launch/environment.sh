# shellcheck shell=bash
# Sourced by the scripts that start mpirun: settings that depend on the machine, never on the results.

# Open MPI refuses to start as root unless told twice; a container where everything is root is the usual reason.
if [[ $(id -u) -eq 0 ]]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# seconds_since START: whole seconds since $SECONDS was START, for the lines that say how long a phase took.
seconds_since() {
  echo $((SECONDS - $1))
}
