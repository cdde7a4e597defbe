#!/bin/sh
# Lays out the final stage: the binary, the shared libraries that it needs (found by name, because a foreign
# architecture's cannot be asked by ldd), trained data, certificates, and a user.
set -eu

gnu=$1
binary=$2
out=$3

# Copies every library that $1 needs, and what those need.
collect() {
  for library in $(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p'); do
    [ -e "$out/lib/$gnu/$library" ] && continue
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

mkdir -p "$out/lib/$gnu" "$out/etc/ssl/certs" "$out/usr/share/tesseract-ocr/5/tessdata" "$out/tmp"
chmod 1777 "$out/tmp"
cp "$binary" "$out/ocr-service"
collect "$binary"

# The program interpreter must lie exactly where the binary says.
loader=$(readelf -l "$binary" | sed -n 's/.*program interpreter: \(.*\)].*/\1/p')
mkdir -p "$out/$(dirname "$loader")"
if [ ! -e "$out$loader" ]; then
  cp -L "/usr/lib/$gnu/$(basename "$loader")" "$out$loader"
fi

for language in eng kor; do
  cp "/usr/share/tesseract-ocr/5/tessdata/$language.traineddata" "$out/usr/share/tesseract-ocr/5/tessdata/"
done
# Which Debian packages all this is from, for the list of materials (SBOM): name, version and architecture a line.
packages=$(
  for library in "$out/lib/$gnu"/*; do
    for folder in "/usr/lib/$gnu" "/lib/$gnu" "/usr/$gnu/lib"; do
      file=$(readlink -e "$folder/${library##*/}") || continue
      # What only has the same name is from no package.
      cmp -s "$file" "$library" || continue
      dpkg -S "$file" 2>/dev/null | sed 's/: .*//' && break
    done
  done
)
mkdir -p "$out/usr/share/platen"
# shellcheck disable=SC2086 # One word a package.
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' $packages ca-certificates tesseract-ocr-eng tesseract-ocr-kor \
  | sort -u > "$out/usr/share/platen/debian-packages"
cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
echo 'platen:x:65532:65532:Platen:/:/sbin/nologin' > "$out/etc/passwd"
echo 'platen:x:65532:' > "$out/etc/group"
echo 'hosts: files dns' > "$out/etc/nsswitch.conf"
