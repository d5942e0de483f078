package main

import (
	"homelab/internal/deploy"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/state"
	"homelab/internal/store/dir"
	"homelab/internal/store/restic"
	"homelab/internal/store/s3"
	"homelab/internal/store/sftp"
	"homelab/registry"
)

// engines reaches containers and images through Docker's API.
func engines(way *dockerhost.Engine) (deploy.Containers, error) { return docker.New(way) }

// stores are the places for bundles.
func stores(at registry.Store, work string) (state.Store, error) {
	switch at.Kind {
	case "dir":
		files, err := dir.Open(at.Path)
		if err != nil {
			return nil, err
		}
		return state.NewStore(files), nil
	case "sftp":
		return state.NewStore(sftp.New(at)), nil
	case "s3":
		files, err := s3.New(at)
		if err != nil {
			return nil, err
		}
		return state.NewStore(files), nil
	case "restic":
		return restic.New(at, work)
	}
	return nil, fault.Newf(fault.Internal, "", "no store of kind %q", at.Kind)
}

func sites(deploy.Containers, *dockerhost.Engine) (state.Site, error) {
	return nil, fault.New(fault.Internal, "no sites yet", "")
}
