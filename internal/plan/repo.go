package plan

import (
	"context"
	"errors"
)

// Repo is what the planner needs of a repository. internal/gitrepo is the one
// real implementation; paths are bytes in a string, relative to the root, with
// forward slashes.
type Repo interface {
	// Head is the commit that is checked out; the zero Commit when nothing has
	// been committed yet.
	Head(ctx context.Context) (Commit, error)

	// Resolve finds the commit that a revision names. The all-zero id is the
	// zero Commit (the empty tree). A full commit id whose objects are not here
	// is a Commit with Missing set, never an error; so is an ancestor (HEAD~1) that
	// a shallow clone leaves out, without an id where git does not tell it. Any
	// other unknown name is fault.NotFound with near names.
	Resolve(ctx context.Context, rev string) (Commit, error)

	// Upstream is the upstream branch of the current one: its short name and
	// commit, Missing when the branch is gone. An empty name means there is none.
	Upstream(ctx context.Context) (string, Commit, error)

	// MergeBases lists the best common ancestors of two commits; none when
	// they are unrelated. Complete is false where history is cut (a shallow
	// clone), so that "none" proves nothing.
	MergeBases(ctx context.Context, a, b Commit) (bases []Commit, complete bool, err error)

	// Shallow says whether history is cut.
	Shallow() bool

	// Tree looks at a commit, WorkTree at the files as they are now. Neither
	// takes a lock or writes.
	Tree(ctx context.Context, c Commit) (Snapshot, error)
	WorkTree(ctx context.Context) (Snapshot, error)
}

// Commit names a commit and its tree by their full hexadecimal ids. The zero
// Commit stands for the empty tree.
type Commit struct {
	ID      string
	Tree    string
	Missing bool // its objects are not here; the id may not be known
}

// Empty says whether the commit is the empty tree.
func (c Commit) Empty() bool { return c.ID == "" && !c.Missing }

// Snapshot is one state of the repository's files.
type Snapshot interface {
	// Engine says what read it: "go-git" or "git".
	Engine() string

	// Changes lists what differs from base to this snapshot, sorted by path,
	// without rename detection: a rename is a delete and an add. Where the base's
	// objects turn out to be missing it returns [ErrMissing].
	Changes(ctx context.Context, base Commit) ([]Change, error)

	// Entries lists every tracked path, sorted. The caller must not change it.
	Entries(ctx context.Context) ([]Entry, error)

	// ReadFile returns the content of a file, up to most bytes; a longer one is
	// fault.InvalidArgument. fs.ErrNotExist when there is none.
	ReadFile(ctx context.Context, path string, most int64) ([]byte, error)

	// ReadLink returns the target of a symbolic link as it is written.
	ReadLink(ctx context.Context, path string) (string, error)

	// Digest identifies the content of a changed path, independent of machine
	// and time: equal digests, equal content.
	Digest(ctx context.Context, c Change) (string, error)

	// Compared says whether a path is tracked and its content compared: false for
	// one that git was told to take for unchanged.
	Compared(path string) bool

	// Unseen identifies the bytes and modes of all tracked files, where Changes
	// does not tell all that Nix sees of them: git was told to take some for
	// unchanged, or filters, line endings and permissions make different files
	// equal. Empty where Changes tells all.
	Unseen(ctx context.Context) (string, error)

	// Ignores says whether something is on disk at a path and git ignores it;
	// false for a commit.
	Ignores(ctx context.Context, path string) (bool, error)

	// Ignored lists paths that exist but that git ignores, as far as Ignores was
	// asked; folders end in a slash.
	Ignored() []string

	// Warnings are what happened while looking.
	Warnings() []Warning
}

// Kind is the kind of a tracked path.
type Kind byte

const (
	NoKind    Kind = iota // not there
	Regular               // a file, executable or not
	Link                  // a symbolic link
	Submodule             // a commit of another repository
)

// Entry is one tracked path.
type Entry struct {
	Path       string
	Kind       Kind
	Executable bool // of a regular file, as git has it
}

// Change is one path that differs.
type Change struct {
	Path   string
	Status Status
	Old    Kind   // in the base
	New    Kind   // in the snapshot
	Blob   string // object id in the snapshot, where it is known
}

// ErrMissing says that objects of the base are not in the repository.
var ErrMissing = errors.New("objects of the base are missing")
