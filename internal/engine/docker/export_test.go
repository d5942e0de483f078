package docker

import (
	"io"

	"github.com/docker/docker/api/types/container"
)

// SecretsOf is what is veiled of a container.
func SecretsOf(env []string, names string) []string {
	all := []string{}
	for _, secret := range secretsOf(&container.Config{Env: env, Labels: map[string]string{"homelab.envFiles": names}}) {
		all = append(all, string(secret))
	}
	return all
}

// CopyLogs copies what an engine sends, without secrets.
func CopyLogs(to io.Writer, from io.Reader, stamped bool, secrets ...string) error {
	all := [][]byte{}
	for _, secret := range secrets {
		all = append(all, []byte(secret))
	}
	return (&printed{to: to, stamped: stamped}).copy(from, all)
}
