package gitrepo

// ForTest opens what tests need and programs do not.
func ForTest(r *Repo) forTest { return forTest{r} }

type forTest struct{ r *Repo }

// GitOnly is the same repository read by the git command alone.
func (f forTest) GitOnly() *Repo {
	return &Repo{
		root: f.r.root, gitDir: f.r.gitDir, commonDir: f.r.commonDir, indexFile: f.r.indexFile,
		config: f.r.config, foreign: "a test says so", pairs: map[[2]string]mergeBases{},
	}
}

// Watched says that the next look at the work tree needs to see only what
// changed.
func (f forTest) Watched() bool { return f.r.watch != nil && f.r.watch.index != nil }

// Distrust looks at every file each time, however soon.
func (f forTest) Distrust() { f.r.distrust = true }
