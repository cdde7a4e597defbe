#!/bin/sh
# Lays out the final stage: the binary, the shared libraries that it needs (found by name, because a foreign
# architecture's cannot be asked by ldd), trained data, certificates, and a user. Refuses what has grown too large.
set -eu

gnu=$1
binary=$2
out=$3

# Bytes that the image may have, unpacked and compressed.
most_unpacked=70000000
most_compressed=30000000

# Copies every library that $1 needs, and what those need.
collect() {
  for library in $(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p'); do
    [ -e "$out/lib/$gnu/$library" ] && continue
    case $library in
      libarchive.so.*) without "$library" "$1" archive_; continue ;;
      libcurl*.so.*) without "$library" "$1" curl_; continue ;;
      # In its own place, see below.
      ld-linux*) continue ;;
    esac
    for folder in "/usr/lib/$gnu" "/lib/$gnu" "/usr/$gnu/lib"; do
      if [ -e "$folder/$library" ]; then
        cp -L "$folder/$library" "$out/lib/$gnu/$library"
        collect "$folder/$library"
        continue 2
      fi
    done
    echo "$1 needs $library, which is not installed for $gnu" >&2
    exit 1
  done
}

# Tesseract's library can read trained data out of archives and images out of the net, for which it needs two libraries,
# and they thirty more: 22 MB. The service asks for neither. Instead of library $1 there is one with the functions that
# $2 takes from it (their names begin with $3), each of which gives nothing: no archive, no transfer.
without() {
  taken=$(readelf --dyn-syms --wide "$2" | awk -v prefix="$3" '$7 == "UND" && index($8, prefix) == 1 { print $8 }')
  work=$(mktemp -d)
  for name in $taken; do
    echo "void *${name%%@*}(void) { return 0; }"
  done > "$work/nothing.c"
  # As symbol@version, where the library has versions; it has one.
  version=$(echo "$taken" | sed -n '1s/.*@//p')
  echo "$version { global: *; };" > "$work/nothing.map"
  "$gnu-gcc" -shared -nostdlib -fno-builtin -Os -s "-Wl,-soname,$1" "-Wl,--version-script,$work/nothing.map" \
    -o "$out/lib/$gnu/$1" "$work/nothing.c"
  rm -r "$work"
}

# Says no if $1 (what is measured) is $2 bytes and may be $3.
hold() {
  if [ "$2" -gt "$3" ]; then
    echo "the image is $2 bytes $1, and may be $3; its largest files:" >&2
    find "$out" -type f -printf '%s %P\n' | sort -rn | head -n 20 >&2
    exit 1
  fi
  echo "the image is $2 bytes $1"
}

mkdir -p "$out/lib/$gnu" "$out/etc/ssl/certs" "$out/usr/share/tesseract-ocr/5/tessdata" "$out/tmp"
chmod 1777 "$out/tmp"
cp "$binary" "$out/ocr-service"
collect "$binary"

# The program interpreter must lie exactly where the binary says.
loader=$(readelf -l "$binary" | sed -n 's/.*program interpreter: \(.*\)].*/\1/p')
mkdir -p "$out/$(dirname "$loader")"
cp -L "/usr/lib/$gnu/$(basename "$loader")" "$out$loader"

for language in eng kor; do
  cp "/usr/share/tesseract-ocr/5/tessdata/$language.traineddata" "$out/usr/share/tesseract-ocr/5/tessdata/"
done
cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
echo 'platen:x:65532:65532:Platen:/:/sbin/nologin' > "$out/etc/passwd"
echo 'platen:x:65532:' > "$out/etc/group"
echo 'hosts: files dns' > "$out/etc/nsswitch.conf"

hold unpacked "$(find "$out" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }')" "$most_unpacked"
hold compressed "$(tar -C "$out" -c . | gzip | wc -c)" "$most_compressed"
