# The first process gets no default signal handlers: without the trap the
# container would ignore SIGTERM.
trap 'kill "$server"' TERM INT

echo "started $(date -u +%Y-%m-%dT%H:%M:%SZ)" >> "$STATE/starts.txt"

httpd -f -p "$PORT" -h /srv &
server=$!
wait "$server"
