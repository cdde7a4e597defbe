#!/bin/sh
# Makes the data folder on the first start, then becomes the server. Understands the variables of upstream's image that
# name the root password, a database and its user; each also with _FILE at its end.
set -eu

data=${MARIADB_DATA:-/var/lib/mysql}
sockets=/run/mysqld
begun=$data/.platen-begun
done=$data/.platen-done

# value NAME: the variable, or the content of the file that NAME_FILE names.
value() {
  eval "found=\${$1:-}; file=\${$1_FILE:-}"
  if [ -z "$found" ] && [ -n "$file" ]; then
    found=$(cat "$file")
  fi
  printf '%s' "$found"
}

# quoted TEXT: as a string of SQL, in the default mode, where the backslash escapes.
quoted() {
  printf "'%s'" "$(printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g")"
}

# named TEXT: as a name in SQL, in its backquotes.
# shellcheck disable=SC2016
named() {
  printf '`%s`' "$(printf '%s' "$1" | sed -e 's/`/``/g')"
}

# Not echo, for which a backslash is more than itself.
say() {
  printf '%s\n' "$1"
}

statements() {
  root=$(value MARIADB_ROOT_PASSWORD)
  database=$(value MARIADB_DATABASE)
  user=$(value MARIADB_USER)
  password=$(value MARIADB_PASSWORD)
  # The installation also makes root without a password for other names of this host, and users without a name.
  say "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');"
  say 'FLUSH PRIVILEGES;'
  if [ -n "$root" ]; then
    say "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$root");"
    say "CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY $(quoted "$root");"
    say "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
  fi
  if [ -n "$database" ]; then
    say "CREATE DATABASE IF NOT EXISTS $(named "$database");"
  fi
  if [ -n "$user" ]; then
    say "CREATE USER IF NOT EXISTS $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
    if [ -n "$database" ]; then
      say "GRANT ALL ON $(named "$database").* TO $(quoted "$user")@'%';"
    fi
  fi
}

initialise() {
  if [ -z "$(value MARIADB_ROOT_PASSWORD)" ] && [ -z "${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:-}" ]; then
    echo 'the database needs MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_FILE or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1' >&2
    exit 1
  fi
  # What a start that was killed half-way left is no database.
  if [ -e "$begun" ]; then
    rm -rf "${data:?}"/*
  fi
  : >"$begun"
  mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db \
    --skip-name-resolve >/dev/null
  statements | mariadbd --no-defaults --bootstrap --datadir="$data" --tmpdir=/tmp
  : >"$done"
  rm -f "$begun"
}

case "${1:-mariadbd}" in
  mariadbd | mysqld | -*) ;;
  *) exec "$@" ;;
esac
if [ "${1:-}" = mariadbd ] || [ "${1:-}" = mysqld ]; then
  shift
fi
# A folder of another image has no marker of ours and a mysql folder: it is taken as it is.
if [ ! -e "$done" ] && { [ -e "$begun" ] || [ ! -d "$data/mysql" ]; }; then
  initialise
fi
exec mariadbd --no-defaults --datadir="$data" --socket="$sockets/mysqld.sock" --pid-file="$sockets/mysqld.pid" \
  --tmpdir=/tmp --bind-address=* --skip-name-resolve "$@"
