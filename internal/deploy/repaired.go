package deploy

import (
	"homelab/internal/build"
	"homelab/internal/fault"
)

// RepairRequest asks for switches that were broken off to be finished or undone.
type RepairRequest struct {
	Service string `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias. Left out: all."`
}

// RepairReport is what came of it.
type RepairReport struct {
	Services []Repaired      `json:"services" jsonschema_description:"Each switch that was broken off, by service."`
	Problems []build.Problem `json:"problems" jsonschema_description:"Parts of the journal that cannot be read."`
}

// Repaired is what came of one switch that was broken off.
type Repaired struct {
	Service    string         `json:"service" jsonschema_description:"Name of the service."`
	Host       string         `json:"host" jsonschema_description:"Name of the host."`
	Generation int            `json:"generation" jsonschema_description:"Generation that was switched to."`
	Step       string         `json:"step" jsonschema_description:"Step before which it was broken off."`
	Status     RepairStatus   `json:"status" jsonschema:"enum=repaired,enum=none,enum=failed,enum=locked" jsonschema_description:"repaired (finished or undone, see what), none (there was nothing left to do), failed (see problem) or locked (a job works on the service)."`
	What       string         `json:"what,omitempty" jsonschema_description:"What was done."`
	JobID      string         `json:"jobId,omitempty" jsonschema_description:"Job that did it: see job_get."`
	Problem    *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it is as it was."`
}

// RepairStatus is what came of a repair.
type RepairStatus string

const (
	Mended    RepairStatus = "repaired"
	Unneeded  RepairStatus = "none"
	Unmended  RepairStatus = "failed"
	Untouched RepairStatus = "locked"
)

// Code classifies a report: empty when nothing is left to repair.
func (r *RepairReport) Code() fault.Code {
	for _, status := range []RepairStatus{Unmended, Untouched} {
		for _, s := range r.Services {
			if s.Status == status {
				return s.Problem.Code
			}
		}
	}
	if len(r.Problems) > 0 {
		return r.Problems[0].Code
	}
	return ""
}
