#!/bin/sh
# Cargo's wrapper for the crates of this workspace: what the compiler made of their parts is kept between builds, so that a
# change of one line compiles little more than that. The number of parts stays the profile's, and so does the program.
exec "$@" -C incremental=/var/cache/rustc
