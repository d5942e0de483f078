package dockerhost

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"homelab/internal/fault"
)

// tlsConfig loads the certificate files of the endpoint; nil without TLS.
func tlsConfig(e Endpoint) (*tls.Config, error) {
	if e.TLS == nil {
		return nil, nil
	}
	refuse := func(err error) (*tls.Config, error) {
		return nil, fault.Newf(fault.Precondition, tlsRemedy(e), "TLS of the Docker engine at %s: %w", e, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: e.Insecure}
	if e.TLS.CA != "" {
		pem, err := os.ReadFile(e.TLS.CA)
		if err != nil {
			return refuse(err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return refuse(fmt.Errorf("no certificate in %s", e.TLS.CA))
		}
	}
	if e.TLS.Cert != "" || e.TLS.Key != "" {
		pair, err := tls.LoadX509KeyPair(e.TLS.Cert, e.TLS.Key)
		if err != nil {
			return refuse(fmt.Errorf("client certificate %q with key %q: %w", e.TLS.Cert, e.TLS.Key, err))
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func tlsRemedy(e Endpoint) string {
	switch e.Source {
	case "registry":
		return "check the files of hosts.NAME.tls in the registry"
	case "DOCKER_HOST":
		return "check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH"
	}
	return "check the TLS files of the Docker context with docker context inspect"
}

// tlsFailure tells why a handshake failed, or nil when err is not about TLS.
func tlsFailure(e Endpoint, err error) *fault.Error {
	var (
		server *tls.CertificateVerificationError
		remote *net.OpError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return fault.Newf(fault.EngineUnavailable, "leave out the TLS files, or give the TLS port of the engine (2376 by custom)",
			"the engine at %s does not speak TLS", e)
	case errors.As(err, &server):
		return fault.Newf(fault.EngineUnavailable, tlsRemedy(e),
			"the certificate of the engine at %s cannot be trusted: %w", e, server.Err)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fault.Newf(fault.EngineUnavailable, tlsRemedy(e),
			"the engine at %s refused the TLS connection, most likely for the client certificate: %w", e, remote.Err)
	}
	return nil
}
