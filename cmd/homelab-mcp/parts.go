package main

import (
	"homelab/internal/deploy"
	"homelab/internal/engine/docker"
	"homelab/internal/engine/dockerhost"
	"homelab/internal/fault"
	"homelab/internal/sidecar/program"
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
		repository, err := restic.New(at, work)
		if err != nil {
			return nil, err
		}
		return repository, nil
	}
	return nil, fault.Newf(fault.Internal, "", "no store of kind %q", at.Kind)
}

// sites reach the state of services where it is.
func sites(engine deploy.Containers) (state.Site, error) {
	e, ok := engine.(*docker.Engine)
	if !ok {
		return nil, fault.Newf(fault.Internal, "", "no site for an engine of type %T", engine)
	}
	return e.Site(program.Folders()), nil
}

// places are where the state of services is restored. What goes to other machines is
// extracted in the folder work.
func places(engine deploy.Containers, work string) (state.Place, error) {
	e, ok := engine.(*docker.Engine)
	if !ok {
		return nil, fault.Newf(fault.Internal, "", "no place for an engine of type %T", engine)
	}
	return e.Place(program.Folders(), work)
}
