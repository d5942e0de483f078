// Package archtest holds the plan of the house as a test: which package may
// import which, and why.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "homelab"

func TestHouse(t *testing.T) {
	packages := read(t, os.DirFS(filepath.Join("..", "..")))
	require.NotEmpty(t, packages)
	for _, broken := range check(packages) {
		t.Error(broken)
	}
}

// The rules themselves must be able to fail.
func TestCheckFindsWhatIsForbidden(t *testing.T) {
	for want, p := range map[string]pkg{
		"internal/utils has no floor: give it one, with a reason":                                             {path: "internal/utils"},
		"internal/plan (floor 2) imports internal/gitrepo (floor 3) above it: " + floors["internal/plan"].why: {path: "internal/plan", imports: []string{"internal/gitrepo"}},
		"internal/cli imports internal/mcpserver beside it on floor 4: " + floors["internal/cli"].why:         {path: "internal/cli", imports: []string{"internal/mcpserver"}},
		"internal/plan imports os/exec: " + imports[0].why:                                                    {path: "internal/plan", imports: []string{"os/exec"}},
		"internal/cli imports github.com/mark3labs/mcp-go/mcp: " + imports[3].why:                             {path: "internal/cli", imports: []string{"github.com/mark3labs/mcp-go/mcp"}},
		"tools uses fmt.Println: " + names[2].why:                                                             {path: "tools", uses: []string{"fmt.Println"}},
		"internal/plan uses println: a leftover of debugging":                                                 {path: "internal/plan", uses: []string{"println"}},
		"tools imports tools/toolstest outside its tests":                                                     {path: "tools", imports: []string{"tools/toolstest"}},
		"tools imports github.com/stretchr/testify/assert outside its tests":                                  {path: "tools", imports: []string{"github.com/stretchr/testify/assert"}},
	} {
		others := []pkg{{path: "internal/gitrepo"}, {path: "internal/mcpserver"}, {path: "tools/toolstest"}}
		assert.Contains(t, check(append(others, p)), want)
	}
	allowed := []pkg{
		{path: "internal/command", imports: []string{"internal/fault", "os/exec"}},
		{path: "internal/fault"},
		{path: "internal/gitrepo/gittest", imports: []string{"os/exec", "testing"}},
		{path: "internal/cli", imports: []string{"internal/fault"}, uses: []string{"fmt.Println", "os.Stdout"}},
	}
	for _, broken := range check(allowed) {
		assert.Contains(t, broken, "does not exist", "allowed, yet refused")
	}
}

func TestFindingsAreReadFromTheSource(t *testing.T) {
	const source = `package p
import (
	f "fmt"
	"os"
	"homelab/internal/fault"
)
func init() {
	f.Println(os.Stdout, fault.New)
	println()
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	require.NoError(t, err)
	var p pkg
	p.add(file)
	assert.Equal(t, []string{"fmt", "os", "internal/fault"}, p.imports)
	assert.ElementsMatch(t, []string{"fmt.Println", "os.Stdout", "internal/fault.New", "println"}, p.uses)
}

// read parses every package of the module, without tests and testdata.
func read(t *testing.T, root fs.FS) []pkg {
	t.Helper()
	found := map[string]*pkg{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			if name != "." && (base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
		if err != nil {
			return err
		}
		folder := path.Dir(name)
		if found[folder] == nil {
			found[folder] = &pkg{path: folder}
		}
		found[folder].add(file)
		return nil
	})
	require.NoError(t, err)
	packages := make([]pkg, 0, len(found))
	for _, p := range found {
		packages = append(packages, *p)
	}
	return packages
}

// add notes what a file imports and which of its names it uses.
func (p *pkg) add(file *ast.File) {
	called := map[string]string{} // import path by the name it has in the file
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		imported = strings.TrimPrefix(imported, module+"/")
		p.imports = append(p.imports, imported)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		called[name] = imported
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && called[x.Name] != "" {
				p.uses = append(p.uses, called[x.Name]+"."+n.Sel.Name)
			}
		case *ast.CallExpr:
			if function, ok := n.Fun.(*ast.Ident); ok {
				p.uses = append(p.uses, function.Name)
			}
		}
		return true
	})
}
