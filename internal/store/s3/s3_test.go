package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/command"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/state/statetest"
	"homelab/internal/store/s3"
	"homelab/registry"
)

const user, bucket, prefix = "homelab", "bundles", "home/lab"

func TestFiles(t *testing.T) {
	statetest.Files(t, func(t *testing.T, folder string) statetest.Place { return startS3(t, folder).place() })
}

func TestStore(t *testing.T) {
	statetest.Store(t, func(t *testing.T) statetest.Ground {
		server := startS3(t, t.TempDir())
		return statetest.Ground{
			Open: func(context.Context) (state.Store, error) {
				files, err := s3.New(server.address())
				return state.NewStore(files), err
			},
			Data:  func(t *testing.T) map[string]int64 { return statetest.FilesBelow(t, server.place().Folder) },
			Flips: 10,
			Cuts:  10,
		}
	})
}

func TestWhatIsWrong(t *testing.T) {
	server := startS3(t, t.TempDir())
	at := server.address()
	at.Bucket = "others"
	files := open(t, at)
	_, err := files.List(t.Context(), "")
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
	assert.ErrorContains(t, err, "there is no bucket")
	err = files.Put(t.Context(), "a/x", strings.NewReader("x"))
	assert.Equal(t, fault.Precondition, fault.CodeOf(err), "%v", err)
}

func TestNoCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	_, err := s3.New(registry.Store{Kind: "s3", Address: "s3://bundles", Bucket: "bundles"})
	assert.Equal(t, fault.Precondition, fault.CodeOf(err))
	assert.Contains(t, fault.Of(err).Hint, "AWS_ACCESS_KEY_ID")
}

func TestCredentialsOfAFile(t *testing.T) {
	server := startS3(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(file, []byte("[nas]\naws_access_key_id = "+user+"\naws_secret_access_key = "+statetest.Secret+"\n"), 0o600))
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_PROFILE", "nas")
	at := server.address()
	t.Setenv("AWS_ENDPOINT_URL", at.Endpoint)
	at.Endpoint = ""
	require.NoError(t, open(t, at).Put(t.Context(), "a/x", strings.NewReader("x")))
}

// What a killed writer sent is not sent again, and what nobody goes on with is gone.
func TestUploadsGoOn(t *testing.T) {
	server := startS3(t, t.TempDir())
	var sent atomic.Int64
	at := server.address()
	at.Endpoint = proxy(t, at.Endpoint, &sent)
	files := open(t, at)
	content := noise(40 << 20)
	changed := append(bytes.Clone(content[:20<<20]), noise(20<<20)...)

	sent.Store(0)
	server.leave(t, "a/x", content[:32<<20])
	server.leave(t, "a/y", content[:16<<20])
	s3.Hurry(t, time.Hour, time.Hour)
	require.NoError(t, files.Put(t.Context(), "a/young", bytes.NewReader(content)))
	assert.EqualValues(t, 40<<20, sent.Load())
	assert.Len(t, server.unfinished(t), 2, "their writers may live")

	s3.Hurry(t, -time.Second, time.Hour)
	sent.Store(0)
	require.NoError(t, files.Put(t.Context(), "a/x", bytes.NewReader(changed)))
	assert.EqualValues(t, 24<<20, sent.Load(), "the first part is the same")
	stored, err := files.Open(t.Context(), "a/x")
	require.NoError(t, err)
	defer stored.Close()
	got, err := io.ReadAll(stored)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(changed, got))
	assert.Equal(t, []string{prefix + "/a/y"}, server.unfinished(t))

	s3.Hurry(t, time.Hour, -time.Second)
	require.NoError(t, files.Put(t.Context(), "a/z", strings.NewReader("x")))
	assert.Empty(t, server.unfinished(t))
}

// A part that arrives otherwise than it was sent is refused.
func TestDamageOnTheWay(t *testing.T) {
	server := startS3(t, t.TempDir())
	at := server.address()
	target, err := url.Parse(at.Endpoint)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	at.Endpoint = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			body[len(body)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		r.Host = target.Host
		forward.ServeHTTP(w, r)
	}))
	err = open(t, at).Put(t.Context(), "a/x", bytes.NewReader(noise(1000)))
	assert.Error(t, err)
	found, err := open(t, server.address()).List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, found)
	assert.Empty(t, server.unfinished(t))
}

func TestLockedBundles(t *testing.T) {
	server := startS3(t, t.TempDir())
	ctx := t.Context()
	client := server.client(t)
	require.NoError(t, client.MakeBucket(ctx, "locked", minio.MakeBucketOptions{ObjectLocking: true}))
	at := server.address()
	at.Bucket, at.Path = "locked", ""
	files := open(t, at)
	for _, name := range []string{"a/free", "a/kept", "a/held"} {
		require.NoError(t, files.Put(ctx, name, strings.NewReader("x")))
	}
	mode, until := minio.Governance, time.Now().Add(time.Hour)
	require.NoError(t, client.PutObjectRetention(ctx, "locked", "a/kept", minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until}))
	on := minio.LegalHoldEnabled
	require.NoError(t, client.PutObjectLegalHold(ctx, "locked", "a/held", minio.PutObjectLegalHoldOptions{Status: &on}))
	require.NoError(t, files.Remove(ctx, "a/free"))
	for name, why := range map[string]string{"a/kept": "locked until 20", "a/held": "a legal hold"} {
		err := files.Remove(ctx, name)
		assert.Equal(t, fault.Denied, fault.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, why)
	}
	found, err := files.List(ctx, "a")
	require.NoError(t, err)
	assert.Len(t, found, 2)
	for object := range client.Client.ListObjects(ctx, "locked", minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		assert.NotEqual(t, "a/free", object.Key, "it goes on taking room")
	}
}

// server is a real S3 server on this machine.
type server struct {
	t      *testing.T
	folder string
	port   string
	pipe   *command.Pipe
}

func startS3(t *testing.T, folder string) *server {
	t.Helper()
	s := &server{t: t, folder: folder, port: freePort(t)}
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "root", bucket), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "versions"), 0o700))
	t.Setenv("AWS_ACCESS_KEY_ID", user)
	t.Setenv("AWS_SECRET_ACCESS_KEY", statetest.Secret)
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	program, err := filepath.Abs("../../../.tools/versitygw")
	require.NoError(s.t, err)
	require.FileExists(s.t, program, "run .ci/setup test")
	s.pipe, err = command.Start(context.Background(), command.Cmd{
		Name: program,
		Args: []string{"--quiet", "--port", "127.0.0.1:" + s.port, "posix", "--versioning-dir", filepath.Join(s.folder, "versions"), filepath.Join(s.folder, "root")},
		Env:  []string{"ROOT_ACCESS_KEY=" + user, "ROOT_SECRET_KEY=" + statetest.Secret},
	})
	require.NoError(s.t, err)
	require.Eventually(s.t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
}

func (s *server) kill() {
	_ = syscall.Kill(s.pipe.PID, syscall.SIGKILL) // it may have ended
	_ = s.pipe.Close()
}

func (s *server) address() registry.Store {
	endpoint := "http://127.0.0.1:" + s.port
	return registry.Store{Kind: "s3", Address: "s3://" + bucket + "/" + prefix + "?endpoint=" + endpoint, Bucket: bucket, Path: prefix, Endpoint: endpoint}
}

func (s *server) place() statetest.Place {
	return statetest.Place{
		Folder: filepath.Join(s.folder, "root", bucket, prefix),
		Open:   func(context.Context) (state.Files, error) { return s3.New(s.address()) },
		Stranger: func(context.Context) (state.Files, error) {
			s.t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
			return s3.New(s.address())
		},
		Kill: s.kill, Start: s.start,
	}
}

// client is one of the library's own.
func (s *server) client(t *testing.T) *minio.Core {
	t.Helper()
	client, err := minio.NewCore("127.0.0.1:"+s.port, &minio.Options{Creds: credentials.NewStaticV4(user, statetest.Secret, ""), Region: "us-east-1"})
	require.NoError(t, err)
	return client
}

// leave sends parts as a writer does that is killed then.
func (s *server) leave(t *testing.T, name string, content []byte) {
	t.Helper()
	files := open(t, s.address())
	in, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	before := len(s.unfinished(t))
	go func() { done <- files.Put(ctx, name, in) }()
	_, err := out.Write(content)
	require.NoError(t, err)
	_, err = out.Write([]byte("more"))
	require.NoError(t, err)
	client := s.client(t)
	require.Eventually(t, func() bool {
		if len(s.unfinished(t)) == before {
			return false
		}
		found, err := client.ListMultipartUploads(ctx, bucket, prefix+"/"+name, "", "", "", 10)
		if err != nil || len(found.Uploads) == 0 {
			return false
		}
		parts, err := client.ListObjectParts(ctx, bucket, prefix+"/"+name, found.Uploads[0].UploadID, 0, 10)
		return err == nil && len(parts.ObjectParts) == len(content)>>24
	}, 20*time.Second, 20*time.Millisecond)
	s.kill()
	require.NoError(t, out.CloseWithError(io.EOF))
	assert.Equal(t, fault.HostUnreachable, fault.CodeOf(<-done))
	s.start()
}

func (s *server) unfinished(t *testing.T) []string {
	t.Helper()
	found, err := s.client(t).ListMultipartUploads(t.Context(), bucket, "", "", "", "", 100)
	require.NoError(t, err)
	names := []string{}
	for _, upload := range found.Uploads {
		names = append(names, upload.Key)
	}
	return names
}

// proxy counts what is sent of parts.
func proxy(t *testing.T, to string, sent *atomic.Int64) string {
	t.Helper()
	target, err := url.Parse(to)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			sent.Add(r.ContentLength)
		}
		forward.ServeHTTP(w, r)
	}))
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		<-done
	})
	return "http://" + listener.Addr().String()
}

func open(t *testing.T, at registry.Store) *s3.Bucket {
	t.Helper()
	files, err := s3.New(at)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, files.Close()) })
	return files
}

func noise(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails
	return content
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}
