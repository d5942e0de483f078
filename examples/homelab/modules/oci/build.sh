set -eu
umask 022
export LC_ALL=C

busybox=$(command -v busybox) || {
  echo "no busybox here: apt-get install busybox-static" >&2
  exit 1
}
case $(ldd "$busybox" 2>&1 || true) in
  *"not a dynamic executable"* | *"statically linked"*) ;;
  *)
    echo "$busybox is not static and cannot run alone in an image: apt-get install busybox-static" >&2
    exit 1
    ;;
esac

# Equal content gives equal bytes, whoever builds it, whenever.
pack() {
  (cd "$2" && find * | sort) |
    tar --create --file "$1" --directory "$2" --no-recursion --files-from - \
      --format=gnu --mtime=@1 --owner=0 --group=0 --numeric-owner
}

digest() {
  sha256sum "$1" | cut -d ' ' -f 1
}

# What all services share is the lower layer: a host that has one of them gets
# only the upper layer of the others.
mkdir -p base/bin base/tmp
cp "$busybox" base/bin/busybox
for tool in cat date grep httpd kill ls mkdir mv rm sh sleep sync touch true wget; do
  ln -s busybox "base/bin/$tool"
done
cp "$init" base/init
chmod 755 base base/bin base/bin/busybox
chmod 644 base/init
chmod 1777 base/tmp

mkdir -p service/srv "service$state"
cp -R "$files/." service/srv
chmod -R u=rwX,go=rX service/srv
(cd service/srv && find * -type f | sort) > index
mkdir -p "service/srv$(dirname "$health")"
echo ok > "service/srv$health"
{
  echo "<!doctype html><title>$tag</title><h1>$tag</h1><ul>"
  sed 's|.*|<li><a href="/&">&</a>|' index
  echo "</ul>"
} > service/srv/index.html
chmod 1777 "service$state"

# layer FOLDER: packs it into the image and says its digest.
mkdir image
layer() {
  pack layer.tar "$1"
  local id
  id=$(digest layer.tar)
  mkdir "image/$id"
  mv layer.tar "image/$id/layer.tar"
  echo "$id"
}
lower=$(layer base)
upper=$(layer service)

printf '%s' "$config" | sed -e "s/@lower@/$lower/" -e "s/@upper@/$upper/" > config.json
id=$(digest config.json)
mv config.json "image/$id.json"

printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s/layer.tar","%s/layer.tar"]}]' "$id" "$tag" "$lower" "$upper" > image/manifest.json
pack "$out" image
