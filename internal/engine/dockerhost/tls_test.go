package dockerhost_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/registry"
)

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	server, client, stranger := ours.issue(t, "server"), ours.issue(t, "client"), others.issue(t, "client")
	secured := secure(t, server)
	plain := httptest.NewServer(engineLike)
	t.Cleanup(plain.Close)

	rows := map[string]struct {
		url           string
		endpoint      dockerhost.Endpoint
		message, hint string // empty: it answers
	}{
		"trusted": {url: secured, endpoint: dockerhost.Endpoint{TLS: &client}},
		"server unverified": {url: secured,
			endpoint: dockerhost.Endpoint{TLS: &registry.TLS{Cert: client.Cert, Key: client.Key}, Insecure: true}},
		"unknown authority": {
			url:      secured,
			endpoint: dockerhost.Endpoint{TLS: &registry.TLS{CA: others.file, Cert: client.Cert, Key: client.Key}, Source: "registry"},
			message:  "cannot be trusted: x509: certificate signed by unknown authority", hint: "hosts.NAME.tls",
		},
		"authorities of the machine": {
			url:      secured,
			endpoint: dockerhost.Endpoint{TLS: &registry.TLS{Cert: client.Cert, Key: client.Key}, Source: "context nas"},
			message:  "cannot be trusted", hint: "docker context inspect",
		},
		"another name": {
			url:      strings.Replace(secured, "127.0.0.1", "localhost", 1),
			endpoint: dockerhost.Endpoint{TLS: &client},
			message:  "wanted to match localhost", hint: "",
		},
		"no client certificate": {
			url:      secured,
			endpoint: dockerhost.Endpoint{TLS: &registry.TLS{CA: ours.file}, Source: "DOCKER_HOST"},
			message:  "refused the TLS connection", hint: "DOCKER_CERT_PATH",
		},
		"foreign client certificate": {
			url:      secured,
			endpoint: dockerhost.Endpoint{TLS: &registry.TLS{CA: ours.file, Cert: stranger.Cert, Key: stranger.Key}},
			message:  "refused the TLS connection", hint: "",
		},
		"left out": {
			url:     secured,
			message: "HTTP request to an HTTPS server", hint: "the engine wants TLS",
		},
		"not spoken there": {
			url:      plain.URL,
			endpoint: dockerhost.Endpoint{TLS: &client},
			message:  "does not speak TLS", hint: "leave out the TLS files",
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, hostport, _ := strings.Cut(row.url, "://")
			row.endpoint.URL = "tcp://" + hostport
			if row.message == "" {
				assert.Equal(t, "x86_64-linux", ask(t, row.endpoint).System)
				return
			}
			f := refused(t, row.endpoint)
			assert.Equal(t, fault.EngineUnavailable, f.Code)
			assert.Contains(t, f.Message, row.message)
			assert.Contains(t, f.Message, hostport)
			assert.Contains(t, f.Hint, row.hint)
		})
	}
}

func TestTLSFiles(t *testing.T) {
	ours := newAuthority(t)
	one, other := ours.issue(t, "one"), ours.issue(t, "other")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	put(t, empty, "")
	rows := map[string]struct {
		files registry.TLS
		says  string
	}{
		"no such authority": {registry.TLS{CA: "/nowhere/ca.pem"}, "open /nowhere/ca.pem: no such file or directory"},
		"empty authority":   {registry.TLS{CA: empty}, "no certificate in " + empty},
		"key missing":       {registry.TLS{CA: one.CA, Cert: one.Cert}, `with key ""`},
		"key of another":    {registry.TLS{CA: one.CA, Cert: one.Cert, Key: other.Key}, "private key does not match public key"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := dockerhost.Dial(t.Context(), dockerhost.Endpoint{URL: "tcp://nas:2376", TLS: &row.files, Source: "registry"})
			f := fault.Of(err)
			require.NotNil(t, f)
			assert.Equal(t, fault.Precondition, f.Code)
			assert.Contains(t, f.Message, row.says)
			assert.Equal(t, "check the files of hosts.NAME.tls in the registry", f.Hint)
		})
	}
}

// secure starts an engine that wants a certificate of the server's authority.
func secure(t *testing.T, files registry.TLS) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	ca, err := os.ReadFile(files.CA)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	server := httptest.NewUnstartedServer(engineLike)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// authority signs certificates.
type authority struct {
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{file: filepath.Join(t.TempDir(), "ca.pem"), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	require.NoError(t, err)
	putPEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue makes a certificate for 127.0.0.1, good for either end.
func (a authority) issue(t *testing.T, name string) registry.TLS {
	t.Helper()
	dir := t.TempDir()
	files := registry.TLS{CA: a.file, Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	putPEM(t, files.Cert, "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	putPEM(t, files.Key, "PRIVATE KEY", der)
	return files
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func putPEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	put(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}
