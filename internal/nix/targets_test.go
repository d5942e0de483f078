package nix_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/nix"
)

func TestRealTargets(t *testing.T) {
	lab := broken(t)
	targets := lab.targets(t, "good", `"with.dot"`, `"a${b}"`, "two", "image", "stream", "set.inner")
	for name, target := range targets {
		assert.FileExists(t, target.Drv, name)
		assert.Equal(t, lab.system, target.System, name)
		assert.True(t, strings.HasPrefix(target.Out, "/nix/store/"), name)
	}
	assert.Equal(t, targets["good"], targets["set.inner"])
	assert.Equal(t, "lib", targets["two"].OutputName)

	image := targets["image"]
	image.Drv, image.Out = "", ""
	assert.Equal(t, nix.Target{
		OutputName: "out", Name: "ha.tar.gz", System: lab.system, ImageName: "homelab/ha", ImageTag: "1.2",
	}, image)
	stream := targets["stream"]
	assert.True(t, stream.Executable)
	assert.Equal(t, "homelab/ha", stream.ImageName)
	assert.Empty(t, stream.ImageTag, "a tag that is null is none")
}

// A broken attribute fails alone, however it breaks.
func TestRealTargetsFailAlone(t *testing.T) {
	lab := broken(t)
	rows := []struct {
		attr          string
		code          fault.Code
		message, hint string
	}{
		{lab.attr("throws"), fault.EvalFailed, "not on a Sunday", "--show-trace"},
		{lab.attr("mistyped"), fault.EvalFailed, "packages.nix:", "--show-trace"},
		{lab.attr("text"), fault.EvalFailed, lab.attr("text") + " is a string, not a derivation", "name a package"},
		{lab.attr("set"), fault.EvalFailed, "is a set, not a derivation", "name a package"},
		{lab.attr("goood"), fault.NotFound, "the flake has no attribute " + lab.attr("goood"), "flake.nix, or did you mean good?"},
		{lab.attr("set.else"), fault.NotFound, lab.attr("set.else"), "; " + lab.attr("set") + " has inner"},
		{lab.attr("text.below"), fault.NotFound, lab.attr("text.below"), "add " + lab.attr("text.below") + " to the outputs in flake.nix"},
		{"packages.x86_64-linus.good", fault.NotFound, "packages.x86_64-linus.good", "did you mean x86_64-linux"},
		{"package." + lab.system + ".good", fault.NotFound, "has no attribute package.", "add package."},
		{"checks." + lab.system, fault.EvalFailed, "no checks today", "--show-trace"},
		{"nosuch", fault.NotFound, "has no attribute nosuch", "add nosuch to the outputs in flake.nix"},
		{`packages."open`, fault.InvalidArgument, "is not an attribute path", "names with dots"},
		{"", fault.InvalidArgument, "is not an attribute path", "names with dots"},
	}
	fine := []string{lab.attr("good"), lab.attr("image"), "loose", "packages.aarch64-darwin.good"}
	attrs := fine
	for _, row := range rows {
		attrs = append(attrs, row.attr)
	}
	evaluated, err := nix.Nix{}.Targets(t.Context(), lab.ref(), attrs)
	require.NoError(t, err)
	assert.Len(t, evaluated, len(attrs))
	for _, attr := range fine {
		require.NoError(t, evaluated[attr].Err, attr)
		assert.FileExists(t, evaluated[attr].Target.Drv)
	}
	for _, row := range rows {
		f := fault.Of(evaluated[row.attr].Err)
		require.NotNil(t, f, row.attr)
		assert.Equal(t, row.code, f.Code, "%s: %s", row.attr, f)
		assert.Contains(t, f.Error(), row.message, row.attr)
		assert.Contains(t, f.Hint, row.hint, row.attr)
		assert.Zero(t, evaluated[row.attr].Target)
	}
}

// What is wrong with the flake as a whole is told once.
func TestRealTargetsOfBrokenFlake(t *testing.T) {
	rows := []struct {
		name, file, text string
		code             fault.Code
		message          string
	}{
		{"syntax error in the flake", "flake.nix", "{ outputs = _: { packages = ; }; }", fault.EvalFailed, "(at flake.nix:1:29)"},
		{"syntax error in the packages", "packages.nix", "system: {\n  good = ;\n}", fault.EvalFailed, "(at packages.nix:2:10)"},
		{"packages throw", "flake.nix", `{ outputs = _: { packages = throw "never"; }; }`, fault.EvalFailed, "never"},
		{"untracked file", "flake.nix", `{ outputs = _: { packages = import ./new.nix; }; }`, fault.EvalFailed, "Nix does not see new.nix"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			lab := broken(t)
			lab.write(row.file, row.text)
			lab.write("new.nix", "{ }")
			evaluated, err := nix.Nix{}.Targets(t.Context(), lab.ref(), []string{lab.attr("good"), lab.attr("image"), "packages.armv7l-linux.good"})
			require.Error(t, err)
			assert.Empty(t, evaluated)
			assert.Equal(t, row.code, fault.CodeOf(err))
			assert.ErrorContains(t, err, row.message)
		})
	}
	t.Run("no flake", func(t *testing.T) {
		lab := broken(t)
		lab.git("rm", "--quiet", "flake.nix")
		_, err := nix.Nix{}.Targets(t.Context(), lab.ref(), []string{lab.attr("good")})
		assert.Equal(t, fault.NotFound, fault.CodeOf(err), "%v", err)
	})
	t.Run("no daemon", func(t *testing.T) {
		lab := broken(t)
		deadDaemon(t)
		_, err := nix.Nix{}.Targets(t.Context(), lab.ref(), []string{lab.attr("good"), lab.attr("image")})
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.ErrorContains(t, err, "/no/such/socket")
	})
	t.Run("no nix", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := nix.Nix{}.Targets(t.Context(), "git+file:///lab", []string{"packages.x86_64-linux.good"})
		assert.Equal(t, fault.Precondition, fault.CodeOf(err))
		assert.Equal(t, nix.InstallHint, fault.Of(err).Hint)
	})
}

// The output paths at a revision are those of its tree, not of the work tree.
func TestRealTargetsAtRevisions(t *testing.T) {
	lab := broken(t)
	before := lab.target(t, "good")
	head := lab.git("rev-parse", "HEAD")
	lab.write("salt", lab.salt+"-edited")
	assert.NotEqual(t, before.Out, lab.target(t, "good").Out)

	evaluated, err := nix.Nix{}.Targets(t.Context(), nix.GitRef(lab.root, head, ""), []string{lab.attr("good")})
	require.NoError(t, err)
	assert.Equal(t, nix.Evaluated{Target: before}, evaluated[lab.attr("good")])
}

// A package called packages answers in place of all the packages.
func TestRealTargetsShadowed(t *testing.T) {
	lab := broken(t)
	lab.write("flake.nix", `{ outputs = _: { packages = builtins.listToAttrs (map
		(system: { name = system; value = let p = import ./packages.nix system; in p // { packages = p.image; }; })
		[ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]); }; }`)
	evaluated, err := nix.Nix{}.Targets(t.Context(), lab.ref(), []string{lab.attr("good"), lab.attr("packages")})
	if err != nil {
		assert.Equal(t, fault.EvalFailed, fault.CodeOf(err))
		assert.ErrorContains(t, err, "packages names a package")
		return
	}
	assert.NoError(t, evaluated[lab.attr("good")].Err)
	assert.Equal(t, "ha.tar.gz", evaluated[lab.attr("packages")].Target.Name)
}

func TestRealTargetsAreMany(t *testing.T) {
	lab := broken(t)
	lab.write("flake.nix", `{ outputs = _: { packages.x86_64-linux = builtins.listToAttrs (builtins.genList
		(i: { name = "service-with-a-long-name-${toString i}"; value = derivation { name = "s${toString i}"; system = "x86_64-linux"; builder = "/bin/sh"; }; }) 3000); }; }`)
	attrs := []string{"packages.x86_64-linux.none"}
	for i := range 3000 {
		attrs = append(attrs, fmt.Sprintf("packages.x86_64-linux.service-with-a-long-name-%d", i))
	}
	evaluated, err := nix.Nix{}.Targets(t.Context(), lab.ref(), attrs)
	require.NoError(t, err)
	assert.Equal(t, fault.NotFound, fault.CodeOf(evaluated[attrs[0]].Err))
	assert.Equal(t, "s2999", evaluated[attrs[3000]].Target.Name)
	assert.Len(t, evaluated, 3001)
}

func TestTargetsAreEvaluatedTogether(t *testing.T) {
	ran := loggedNix(t)
	t.Setenv("FAKE_NIX_STDOUT", `{"found":[{"drv":"/nix/store/a.drv","out":"/nix/store/a"},{"drv":"/nix/store/b.drv","out":"/nix/store/b"}]}`)
	evaluated, err := nix.Nix{}.Targets(t.Context(), "git+file:///lab", []string{"packages.x.b", "packages.x.a", "packages.x.b"})
	require.NoError(t, err)
	assert.Equal(t, map[string]nix.Evaluated{
		"packages.x.a": {Target: nix.Target{Drv: "/nix/store/a.drv", Out: "/nix/store/a"}},
		"packages.x.b": {Target: nix.Target{Drv: "/nix/store/b.drv", Out: "/nix/store/b"}},
	}, evaluated)
	assert.Len(t, ran(), 1)

	t.Setenv("FAKE_NIX_STDOUT", `{"found":[]}`)
	_, err = nix.Nix{}.Targets(t.Context(), "git+file:///lab", []string{"packages.x.a"})
	assert.ErrorContains(t, err, "0 of 1")
}

func TestTargetsOfNothing(t *testing.T) {
	fakeNix(t)
	evaluated, err := nix.Nix{}.Targets(t.Context(), "git+file:///lab", nil)
	require.NoError(t, err)
	assert.Empty(t, evaluated)
}

func TestTargetsAreCanceled(t *testing.T) {
	fakeNix(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := nix.Nix{}.Targets(ctx, "git+file:///lab", []string{"packages.x.a"})
	assert.Equal(t, fault.Canceled, fault.CodeOf(err))
}

// What fails in a function says where, as far as Nix tells it, and keeps its
// message however long the way to it is.
func TestRealTargetsSayWhere(t *testing.T) {
	lab := broken(t)
	lab.write("flake.nix", `{
  outputs = _: {
    packages = builtins.listToAttrs (map (system: { name = system; value =
      let
        port = number:
          if number < 1024 then throw "port ${toString number} is privileged" else number;
        down = n: if n == 0 then throw "deep down" else down (n - 1) + 0;
        package = name: builder: derivation { inherit name system builder; };
      in
      {
        good = package "good" "/bin/sh";
        web = package "web" (toString (port 80));
        deep = package "deep" (toString (down 3000));
      };
    }) [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]);
  };
}`)
	evaluated, err := nix.Nix{}.Targets(t.Context(), lab.ref(), []string{lab.attr("good"), lab.attr("web"), lab.attr("deep")})
	require.NoError(t, err)
	assert.NoError(t, evaluated[lab.attr("good")].Err)
	web := evaluated[lab.attr("web")].Err
	assert.ErrorContains(t, web, "port 80 is privileged")
	assert.Regexp(t, `\(at flake\.nix:[56]:\d+\)$`, web.Error())
	assert.ErrorContains(t, evaluated[lab.attr("deep")].Err, "deep down")
}
