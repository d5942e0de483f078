package hint_test

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"

	"homelab/internal/hint"
)

// fleet is a repository with so many services, ten hints each, and files.
func fleet(services, files int) (patterns, paths []string) {
	for i := range services {
		dir := fmt.Sprintf("services/group%02d/svc%04d", i%40, i)
		patterns = append(patterns,
			dir,
			fmt.Sprintf("images/svc%04d/Dockerfile", i),
			fmt.Sprintf("config/svc%04d.yaml", i),
			fmt.Sprintf("config/**/svc%04d.json", i),
			fmt.Sprintf("modules/svc%04d/*.nix", i),
			fmt.Sprintf("modules/lib%02d/**/*.nix", i%50),
			fmt.Sprintf("secrets/svc%04d-*.age", i),
			fmt.Sprintf("dashboards/*/svc%04d.json", i),
			fmt.Sprintf("tests/{unit,e2e}/svc%04d_*.py", i),
			fmt.Sprintf("shared/part%03d", i%200),
		)
	}
	random := rand.New(rand.NewSource(1))
	for range files {
		i := random.Intn(services * 5 / 4)
		paths = append(paths, []string{
			fmt.Sprintf("services/group%02d/svc%04d/src/file%d.go", i%40, i, random.Intn(50)),
			fmt.Sprintf("config/site%d/svc%04d.json", random.Intn(20), i),
			fmt.Sprintf("modules/svc%04d/part%d.nix", i, random.Intn(20)),
			fmt.Sprintf("modules/lib%02d/deep/er/x%d.nix", i%70, random.Intn(20)),
			fmt.Sprintf("secrets/svc%04d-key%d.age", i, random.Intn(9)),
			fmt.Sprintf("tests/e2e/svc%04d_%d.py", i, random.Intn(9)),
			fmt.Sprintf("shared/part%03d/a/b/c%d", i%300, random.Intn(30)),
			fmt.Sprintf("docs/manual/chapter%d/page%d.md", i%30, random.Intn(300)),
		}[random.Intn(8)])
	}
	slices.Sort(paths)
	return patterns, paths
}

func BenchmarkCompile(b *testing.B) {
	patterns, _ := fleet(1000, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hint.Compile(patterns); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMatchTrie and BenchmarkMatchNaive answer the same question for
// 1,000 services with 10 hints each: compare their ns/path.
func BenchmarkMatchTrie(b *testing.B) {
	patterns, sorted := fleet(1000, 10000)
	shuffled := slices.Clone(sorted)
	rand.New(rand.NewSource(2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	set, err := hint.Compile(patterns)
	if err != nil {
		b.Fatal(err)
	}
	for _, order := range []struct {
		name  string
		paths []string
	}{{"sorted", sorted}, {"shuffled", shuffled}} {
		each := func(name string, visit func(*hint.Matcher, string)) {
			b.Run(name+"/"+order.name, func(b *testing.B) {
				m := set.Matcher()
				b.ReportAllocs()
				for b.Loop() {
					for _, path := range order.paths {
						visit(m, path)
					}
				}
				perPath(b, len(order.paths))
			})
		}
		each("match", func(m *hint.Matcher, path string) { m.Match(path) })
		each("mark", func(m *hint.Matcher, path string) { m.Mark(path) })
	}
}

func BenchmarkMatchNaive(b *testing.B) {
	patterns, paths := fleet(1000, 100)
	folder := make([]string, len(patterns)) // of literals
	for i, pattern := range patterns {
		if prefix, whole := hint.Literal(pattern); whole {
			folder[i] = prefix + "/"
		}
	}
	for b.Loop() {
		for _, path := range paths {
			for i, pattern := range patterns {
				if folder[i] == "" || !strings.HasPrefix(path, folder[i]) {
					doublestar.MatchUnvalidated(pattern, path)
				}
			}
		}
	}
	perPath(b, len(paths))
}

// BenchmarkCrowd has 10,000 glob siblings in one folder.
func BenchmarkCrowd(b *testing.B) {
	for name, format := range map[string]string{
		"head":   "x/a%05d*z",
		"tail":   "x/*%05d.nix",
		"middle": "x/*m%05dm*",
		"deep":   "**/d%05d/**/e",
	} {
		b.Run(name, func(b *testing.B) {
			var patterns, paths []string
			for i := range 10000 {
				patterns = append(patterns, fmt.Sprintf(format, i))
			}
			for i := range 1000 {
				paths = append(paths, fmt.Sprintf("x/a%05d-m%05dm-%05d.nix/d%05d/d1/e", i, i, i, i), fmt.Sprintf("x/a%05d-m%05dm-%05d.nix", i, i, i))
			}
			set, err := hint.Compile(patterns)
			if err != nil {
				b.Fatal(err)
			}
			m := set.Matcher()
			for b.Loop() {
				for _, path := range paths {
					m.Match(path)
				}
			}
			perPath(b, len(paths))
		})
	}
}

func perPath(b *testing.B, paths int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*paths), "ns/path")
}
