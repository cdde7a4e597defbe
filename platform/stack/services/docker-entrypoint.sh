#!/bin/sh
# As upstream's image: flags alone are the server's.
set -eu
case "${1:-}" in
  -* | '') set -- redis-server "$@" ;;
esac
exec "$@"
