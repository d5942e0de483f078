package job

// ListRequest asks for a [Listing].
type ListRequest struct {
	Limit int `json:"limit,omitempty" jsonschema:"minimum=1,maximum=100" jsonschema_description:"Most jobs to list (default 20); count is always complete."`
}

// Listing is the jobs of a repository.
type Listing struct {
	Count int   `json:"count" jsonschema_description:"Number of jobs; the last 100 are kept."`
	Jobs  []Job `json:"jobs" jsonschema_description:"The newest first; at most limit."`
}

// GetRequest asks for one job.
type GetRequest struct {
	ID   string `json:"id" jsonschema_description:"Name of the job, as build or job_list says it."`
	Wait int    `json:"wait,omitempty" jsonschema:"minimum=0,maximum=600" jsonschema_description:"Most seconds to wait for its end (default 0). Some clients give up on a call after a minute."`
}

// CancelRequest asks a job to stop.
type CancelRequest struct {
	ID string `json:"id" jsonschema_description:"Name of the job, as build or job_list says it."`
}
