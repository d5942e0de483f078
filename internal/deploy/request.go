package deploy

import (
	"homelab/internal/build"
	"homelab/internal/fault"
)

// LoadRequest asks for images on a host.
type LoadRequest struct {
	Service string `json:"service,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name or alias of the service; with jobId it may be left out: all that the job built."`
	JobID   string `json:"jobId,omitempty" jsonschema:"minLength=1" jsonschema_description:"Job of a build whose artifacts to load. Left out: what the service builds to now, which must be built already."`
	Host    string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name of a host of the registry. Left out: that of the service."`
}

// Validate checks what can be checked without a repository.
func (r LoadRequest) Validate() error {
	if r.Service == "" && r.JobID == "" {
		return fault.New(fault.InvalidArgument, "neither service nor jobId is given", "name a service, or the job of a build")
	}
	return nil
}

// RunRequest asks for a service to run as it was built.
type RunRequest struct {
	Service string `json:"service" jsonschema:"minLength=1" jsonschema_description:"Name or alias of the service."`
	JobID   string `json:"jobId,omitempty" jsonschema:"minLength=1" jsonschema_description:"Job of a build whose artifact to run. Left out: what the service builds to now, which must be built already."`
	Host    string `json:"host,omitempty" jsonschema:"minLength=1" jsonschema_description:"Name of a host of the registry. Left out: that of the service."`
}

// RunReport is what came of running a service.
type RunReport struct {
	JobID   string    `json:"jobId" jsonschema_description:"Job that did it: see job_get."`
	Service string    `json:"service" jsonschema_description:"Name of the service."`
	Host    string    `json:"host" jsonschema_description:"Name of the host."`
	Out     string    `json:"out" jsonschema_description:"Store path of the artifact."`
	Image   *Loaded   `json:"image" jsonschema_description:"The image on the host."`
	Run     *Switched `json:"run" jsonschema_description:"What runs now."`
}

// LoadReport is what came of loading images.
type LoadReport struct {
	JobID  string        `json:"jobId" jsonschema_description:"Job that did it: see job_get."`
	State  string        `json:"state" jsonschema:"enum=succeeded,enum=failed,enum=canceled" jsonschema_description:"succeeded, failed (some images at least) or canceled."`
	Images []LoadOutcome `json:"images" jsonschema_description:"What came of each image, by service."`
}

// LoadStatus is what came of one image.
type LoadStatus string

const (
	Sent    LoadStatus = "loaded"  // it was sent
	Present LoadStatus = "present" // the host had it
	Failed  LoadStatus = "failed"  // see problem
	Skipped LoadStatus = "skipped" // not reached
)

// LoadOutcome is what came of one image.
type LoadOutcome struct {
	Service string         `json:"service" jsonschema_description:"Name of the service."`
	Host    string         `json:"host" jsonschema_description:"Name of the host."`
	Status  LoadStatus     `json:"status" jsonschema:"enum=loaded,enum=present,enum=failed,enum=skipped" jsonschema_description:"loaded (it was sent), present (the host had it), failed (see problem) or skipped (not reached)."`
	Out     string         `json:"out,omitempty" jsonschema_description:"Store path of the artifact."`
	Image   *Loaded        `json:"image,omitempty" jsonschema_description:"The image on the host."`
	Problem *build.Problem `json:"problem,omitempty" jsonschema_description:"Why it is not there."`
}

// Code classifies a report: empty when all went well, else the first failure.
func (r *LoadReport) Code() fault.Code {
	if r.State == "canceled" {
		return fault.Canceled
	}
	for _, i := range r.Images {
		if i.Status == Failed {
			return i.Problem.Code
		}
	}
	return ""
}
