# Sourced: what makes a program static. Sets `host`, the triple of this machine, and `static_flags`, which rustc takes together
# with an explicit `--target $host`: that keeps them from what only runs during the build.
# shellcheck shell=bash disable=SC2034

host=$(rustc -vV | sed -n 's/^host: //p')
# In a static program getrandom looks for glibc's function in vain and then for /dev/urandom, which an empty root lacks: it
# is to make the system call.
static_flags='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"'
