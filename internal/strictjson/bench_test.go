package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"homelab/internal/strictjson"
)

// BenchmarkDecode compares with encoding/json on a document of about 1 MB.
func BenchmarkDecode(b *testing.B) {
	const one = `{"name":"grafana","color":"red","coats":3,"price":1.5,"glossy":true,
		"tags":["services/grafana","modules/metrics/**/*.nix","dashboards/*.json","secrets/grafana.age"],
		"env":{"TZ":"Europe/Berlin","MODE":"plain"},"rooms":{"hall":{"floor":1}},"best":{"floor":2}}`
	data := []byte("[" + strings.Repeat(one+",", 3000) + one + "]")
	b.Run("strictjson", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var into []paint
			if problems := strictjson.Decode(data, &into, strictjson.Options{}); problems != nil {
				b.Fatal(problems)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var into []paint
			if err := json.Unmarshal(data, &into); err != nil {
				b.Fatal(err)
			}
		}
	})
}
