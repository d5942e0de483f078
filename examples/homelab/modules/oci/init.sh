# The first process gets no default signal handlers: without the trap the
# container would ignore SIGTERM.
trap 'kill "$server"' TERM INT

echo "started $(date -u +%Y-%m-%dT%H:%M:%SZ)" >> "$STATE/starts.txt"

# A service that cannot read its configuration does not start.
for file in *.ini; do
  if [ -e "$file" ] && grep -nEv '^(\[.+\]|[a-z_]+ = .*|[;#].*|)$' "$file"; then
    echo "$file: these lines cannot be understood"
    exit 1
  fi
done

httpd -f -p "$PORT" -h /srv &
server=$!
wait "$server"
