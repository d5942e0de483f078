package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

func TestVolumeIsSafe(t *testing.T) {
	type options = map[string]string
	rows := map[string]struct {
		volume deploy.Volume
		says   string // empty: it is safe
	}{
		"plain":          {deploy.Volume{Driver: "local"}, ""},
		"with a quota":   {deploy.Volume{Driver: "local", Options: options{"size": "10G"}}, ""},
		"nfs":            {deploy.Volume{Driver: "local", Options: options{"type": "nfs", "device": ":/media", "o": "addr=nas,rw"}}, ""},
		"nfs 4":          {deploy.Volume{Driver: "local", Options: options{"type": "nfs4", "device": "nas:/media"}}, ""},
		"cifs":           {deploy.Volume{Driver: "local", Options: options{"type": "cifs", "device": "//nas/media", "o": "username=me,password=hunter2"}}, ""},
		"memory":         {deploy.Volume{Driver: "local", Options: options{"type": "tmpfs", "device": "tmpfs", "o": "size=10m"}}, ""},
		"another driver": {deploy.Volume{Driver: "rclone", Options: options{"type": "none", "device": "/etc", "o": "bind"}}, ""},

		"bind":             {deploy.Volume{Driver: "local", Options: options{"type": "none", "device": "/etc", "o": "bind"}}, `volume v of app is "/etc" of the host, by its options (bind)`},
		"bind, read-only":  {deploy.Volume{Driver: "local", Options: options{"type": "", "device": "/", "o": "ro,rbind"}}, `is "/" of the host, by its options (bind)`},
		"bind, said nfs":   {deploy.Volume{Driver: "local", Options: options{"type": "nfs", "device": "/run/docker.sock", "o": "bind,password=hunter2"}}, `is "/run/docker.sock" of the host, by its options (bind)`},
		"none":             {deploy.Volume{Driver: "local", Options: options{"type": "none", "device": "/etc"}}, `is "/etc" of the host, by its options (none)`},
		"no type":          {deploy.Volume{Driver: "local", Options: options{"device": "/etc"}}, `is "/etc" of the host`},
		"a disk":           {deploy.Volume{Driver: "local", Options: options{"type": "ext4", "device": "/dev/sda1"}}, `is "/dev/sda1" of the host, by its options (ext4)`},
		"layers":           {deploy.Volume{Driver: "local", Options: options{"type": "overlay", "o": "lowerdir=/etc"}}, `is something of the host, by its options (overlay)`},
		"bind, no device":  {deploy.Volume{Driver: "local", Options: options{"o": "bind"}}, `is something of the host, by its options (bind)`},
		"a kernel's files": {deploy.Volume{Driver: "local", Options: options{"type": "proc", "device": "proc"}}, `is "proc" of the host, by its options (proc)`},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			row.volume.Name = "v"
			err := row.volume.Safe("app")
			if row.says == "" {
				assert.NoError(t, err)
				return
			}
			assert.Equal(t, fault.Denied, fault.CodeOf(err))
			assert.ErrorContains(t, err, row.says)
			assert.Contains(t, fault.Of(err).Hint, "deploy.mounts of app")
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}
