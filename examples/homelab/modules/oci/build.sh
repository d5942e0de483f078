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

mkdir -p root/bin root/srv root/tmp "root$state"
cp "$busybox" root/bin/busybox
for tool in cat date httpd kill ls mkdir mv rm sh sleep sync touch true wget; do
  ln -s busybox "root/bin/$tool"
done
cp "$init" root/init
cp -R "$files/." root/srv
chmod -R u=rwX,go=rX root/srv
(cd root/srv && find * -type f | sort) > index
mkdir -p "root/srv$(dirname "$health")"
echo ok > "root/srv$health"
{
  echo "<!doctype html><title>$tag</title><h1>$tag</h1><ul>"
  sed 's|.*|<li><a href="/&">&</a>|' index
  echo "</ul>"
} > root/srv/index.html
chmod 755 root root/bin root/bin/busybox
chmod 644 root/init
chmod 1777 root/tmp "root$state"

mkdir image
pack layer.tar root
layer=$(digest layer.tar)
mkdir "image/$layer"
mv layer.tar "image/$layer/layer.tar"

printf '%s' "$config" | sed "s/@layer@/$layer/" > config.json
id=$(digest config.json)
mv config.json "image/$id.json"

printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s/layer.tar"]}]' "$id" "$tag" "$layer" > image/manifest.json
pack "$out" image
