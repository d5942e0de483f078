// Package statetest has the suites that every place for bundles passes.
package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/fault"
	"homelab/internal/state"
)

// Place is an empty place for files, and the means to harm it.
type Place struct {
	Folder string // where its files are, on this machine
	Open   func(ctx context.Context) (state.Files, error)
	// Stranger opens it with credentials that are not good enough; nil: it needs none.
	Stranger func(ctx context.Context) (state.Files, error)
	// Kill ends its server at once, and Start starts it again; nil: there is none.
	Kill, Start func()
}

func (p Place) open(t *testing.T) state.Files {
	t.Helper()
	files, err := p.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, files.Close()) })
	return files
}

// Files runs the suite of [state.Files]. New makes a place whose data is in a
// folder of its own on the disk of that folder.
func Files(t *testing.T, new func(t *testing.T, folder string) Place) {
	place := func(t *testing.T) Place {
		t.Helper()
		return new(t, t.TempDir())
	}
	t.Run("what is put is there", func(t *testing.T) {
		files := place(t).open(t)
		for name, size := range map[string]int{"a/empty": 0, "a/small": 1, "a/large": 40<<20 + 1, "b/other": 100} {
			content := noise(size)
			require.NoError(t, files.Put(t.Context(), name, bytes.NewReader(content)))
			assert.True(t, bytes.Equal(content, read(t, files, name)), "%s is another", name)
		}
		assert.Equal(t, []state.File{{Name: "a/empty", Size: 0}, {Name: "a/large", Size: 40<<20 + 1}, {Name: "a/small", Size: 1}}, list(t, files, "a"))
		assert.Equal(t, []state.File{{Name: "b/other", Size: 100}}, list(t, files, "b"))
		assert.Len(t, list(t, files, ""), 4)
		assert.NotNil(t, list(t, files, "nobody"))
		assert.Empty(t, list(t, files, "nobody"))
	})
	t.Run("what is removed is gone", func(t *testing.T) {
		files := place(t).open(t)
		put(t, files, "a/x", 10)
		put(t, files, "a/y", 10)
		require.NoError(t, files.Remove(t.Context(), "a/x"))
		assert.Equal(t, []string{"a/y"}, names(t, files))
		put(t, files, "a/x", 20)
		assert.Len(t, read(t, files, "a/x"), 20)
	})
	t.Run("what is not there", func(t *testing.T) {
		files := place(t).open(t)
		put(t, files, "a/x", 10)
		for _, name := range []string{"a/none", "none/x"} {
			_, err := files.Open(t.Context(), name)
			isFault(t, fault.NotFound, err)
			isFault(t, fault.NotFound, files.Remove(t.Context(), name))
		}
	})
	t.Run("names that are none", func(t *testing.T) {
		files := place(t).open(t)
		for _, name := range []string{"", "x", "/x", "a/", "a/../x", "../x", "a/b/c", "a/.x", ".a/x", "./x"} {
			isFault(t, fault.InvalidArgument, files.Put(t.Context(), name, bytes.NewReader(nil)))
			_, err := files.Open(t.Context(), name)
			isFault(t, fault.InvalidArgument, err)
			isFault(t, fault.InvalidArgument, files.Remove(t.Context(), name))
		}
	})
	t.Run("nothing is written over", func(t *testing.T) {
		files := place(t).open(t)
		put(t, files, "a/x", 10)
		isFault(t, fault.Conflict, files.Put(t.Context(), "a/x", bytes.NewReader(noise(20))))
		assert.Len(t, read(t, files, "a/x"), 10)
	})
	t.Run("one of two writers wins", func(t *testing.T) { twoWriters(t, place(t)) })
	t.Run("what is not complete is not there", func(t *testing.T) {
		files := place(t).open(t)
		put(t, files, "a/other", 1)
		slow := newSlow(noise(33<<20), 32<<20)
		done := make(chan error)
		go func() { done <- files.Put(t.Context(), "a/x", slow) }()
		<-slow.reached
		assert.Equal(t, []string{"a/other"}, names(t, files))
		_, err := files.Open(t.Context(), "a/x")
		isFault(t, fault.NotFound, err)
		close(slow.goOn)
		require.NoError(t, <-done)
		assert.Equal(t, []string{"a/other", "a/x"}, names(t, files))
	})
	t.Run("a live writer is left alone", func(t *testing.T) {
		p := place(t)
		files, others := p.open(t), p.open(t)
		content := noise(33 << 20)
		slow := newSlow(content, 32<<20)
		done := make(chan error)
		go func() { done <- files.Put(t.Context(), "a/x", slow) }()
		<-slow.reached
		put(t, others, "a/other", 10)
		close(slow.goOn)
		require.NoError(t, <-done)
		assert.True(t, bytes.Equal(content, read(t, files, "a/x")))
	})
	t.Run("content that fails", func(t *testing.T) {
		files := place(t).open(t)
		broken := errors.New("the disk that it comes from")
		for _, size := range []int{0, 100, 33 << 20} {
			err := files.Put(t.Context(), "a/x", io.MultiReader(bytes.NewReader(noise(size)), failing{broken}))
			assert.ErrorIs(t, err, broken)
			assert.Empty(t, names(t, files))
		}
		put(t, files, "a/x", 10)
	})
	t.Run("canceled", func(t *testing.T) {
		files := place(t).open(t)
		ctx, cancel := context.WithCancel(t.Context())
		slow := newSlow(noise(33<<20), 32<<20)
		done := make(chan error)
		go func() { done <- files.Put(ctx, "a/x", slow) }()
		<-slow.reached
		cancel()
		close(slow.goOn)
		isFault(t, fault.Canceled, <-done)
		assert.Empty(t, names(t, files))
		put(t, files, "a/x", 10)
		ctx, cancel = context.WithCancel(t.Context())
		put(t, files, "a/large", 40<<20)
		large, err := files.Open(ctx, "a/large")
		require.NoError(t, err)
		cancel()
		_, err = io.Copy(io.Discard, large)
		isFault(t, fault.Canceled, err)
		_ = large.Close() // it was given up
	})
	t.Run("a full disk", func(t *testing.T) {
		folder := t.TempDir()
		require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=24m"))
		t.Cleanup(func() { assert.NoError(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
		files := new(t, folder).open(t)
		put(t, files, "a/other", 1<<20)
		err := files.Put(t.Context(), "a/x", bytes.NewReader(noise(40<<20)))
		isFault(t, fault.Precondition, err)
		assert.ErrorContains(t, err, "no space is left")
		assert.Equal(t, []string{"a/other"}, names(t, files))
		// What was written of the other is gone, as soon as a server notices.
		assert.Eventually(t, func() bool {
			return files.Put(t.Context(), "a/x", bytes.NewReader(noise(10<<20))) == nil
		}, time.Minute, 100*time.Millisecond)
	})
	t.Run("a thousand", func(t *testing.T) {
		p := place(t)
		files := p.open(t)
		put(t, files, "a/0000", 10)
		for i := 1; i < 1000; i++ {
			require.NoError(t, os.WriteFile(filepath.Join(p.Folder, "a", fmt.Sprintf("%04d", i)), nil, 0o600))
		}
		put(t, files, "b/other", 10)
		assert.Len(t, list(t, files, "a"), 1000)
		assert.Len(t, list(t, files, ""), 1001)
	})
	p := place(t)
	if p.Stranger != nil {
		t.Run("wrong credentials", func(t *testing.T) {
			_, err := use(t.Context(), p.Stranger)
			isFault(t, fault.Denied, err)
		})
	}
	if p.Kill != nil {
		t.Run("its server is away", func(t *testing.T) { away(t, place(t)) })
		t.Run("its server is killed", func(t *testing.T) { killed(t, place(t)) })
	}
}

func twoWriters(t *testing.T, p Place) {
	contents := [][]byte{noise(20 << 20), noise(20 << 20)}
	done := make(chan error, 2)
	slow := []*slow{newSlow(contents[0], 18<<20), newSlow(contents[1], 18<<20)}
	for i := range slow {
		files := p.open(t)
		go func() { done <- files.Put(t.Context(), "a/x", slow[i]) }()
		<-slow[i].reached
	}
	close(slow[0].goOn)
	close(slow[1].goOn)
	first, second := <-done, <-done
	if first != nil {
		first, second = second, first
	}
	require.NoError(t, first)
	isFault(t, fault.Conflict, second)
	files := p.open(t)
	stored := read(t, files, "a/x")
	assert.True(t, bytes.Equal(stored, contents[0]) || bytes.Equal(stored, contents[1]), "it is of both")
	assert.Equal(t, []string{"a/x"}, names(t, files))
}

func away(t *testing.T, p Place) {
	p.Kill()
	_, err := use(t.Context(), p.Open)
	isFault(t, fault.HostUnreachable, err)
	p.Start()
	_, err = use(t.Context(), p.Open)
	require.NoError(t, err)
}

// killed takes the server away from an upload, and from a download.
func killed(t *testing.T, p Place) {
	files := p.open(t)
	put(t, files, "a/large", 80<<20)
	content := noise(33 << 20)
	slow := newSlow(content, 32<<20)
	done := make(chan error)
	go func() { done <- files.Put(t.Context(), "a/x", slow) }()
	<-slow.reached
	p.Kill()
	close(slow.goOn)
	isFault(t, fault.HostUnreachable, <-done)
	p.Start()
	assert.Equal(t, []string{"a/large"}, names(t, files), "the handle finds it again")
	require.NoError(t, files.Put(t.Context(), "a/x", bytes.NewReader(content)))
	assert.True(t, bytes.Equal(content, read(t, files, "a/x")))

	large, err := files.Open(t.Context(), "a/large")
	require.NoError(t, err)
	_, err = io.ReadFull(large, make([]byte, 100))
	require.NoError(t, err)
	p.Kill()
	_, err = io.Copy(io.Discard, large)
	isFault(t, fault.HostUnreachable, err)
	_ = large.Close() // of a connection that is gone
	p.Start()
}

// use opens a place and asks it something: some are only asked then.
func use(ctx context.Context, open func(context.Context) (state.Files, error)) ([]state.File, error) {
	files, err := open(ctx)
	if err != nil {
		return nil, err
	}
	found, err := files.List(ctx, "")
	return found, errors.Join(err, files.Close())
}

func isFault(t *testing.T, code fault.Code, err error) {
	t.Helper()
	f := fault.Of(err)
	if !assert.NotNil(t, f, "no error") {
		return
	}
	assert.Equal(t, code, f.Code, "%v", err)
	if code != fault.Canceled && code != fault.InvalidArgument {
		assert.NotEmpty(t, f.Hint)
	}
	assert.NotContains(t, f.Message+f.Hint, Secret)
}

// Secret is the password of every place that has one. No error may show it.
const Secret = "xyzzy-plugh-42"

func put(t *testing.T, files state.Files, name string, size int) {
	t.Helper()
	require.NoError(t, files.Put(t.Context(), name, bytes.NewReader(noise(size))))
}

func read(t *testing.T, files state.Files, name string) []byte {
	t.Helper()
	file, err := files.Open(t.Context(), name)
	require.NoError(t, err)
	content, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return content
}

// list is sorted.
func list(t *testing.T, files state.Files, folder string) []state.File {
	t.Helper()
	found, err := files.List(t.Context(), folder)
	require.NoError(t, err)
	slices.SortFunc(found, func(a, b state.File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return found
}

func names(t *testing.T, files state.Files) []string {
	t.Helper()
	names := []string{}
	for _, file := range list(t, files, "") {
		names = append(names, file.Name)
	}
	return names
}

// Noise does not compress.
func Noise(size int) []byte { return noise(size) }

func noise(size int) []byte {
	var seed [32]byte
	seed[0] = byte(rand.Int())
	seed[1] = byte(size)
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(content) // never fails
	return content
}

// slow is content that stops at a place until it may go on.
type slow struct {
	content       *bytes.Reader
	stop          int64
	reached, goOn chan struct{}
}

func newSlow(content []byte, stop int64) *slow {
	return &slow{bytes.NewReader(content), stop, make(chan struct{}), make(chan struct{})}
}

func (s *slow) Read(p []byte) (int, error) {
	at := s.content.Size() - int64(s.content.Len())
	if at == s.stop {
		close(s.reached)
		<-s.goOn
		s.stop = -1
	}
	if at < s.stop {
		p = p[:min(int64(len(p)), s.stop-at)]
	}
	return s.content.Read(p)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
