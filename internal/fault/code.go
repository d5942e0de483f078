package fault

// Code names a class of failure. The set is closed: [Codes] lists it.
type Code string

const (
	InvalidArgument    Code = "invalid_argument"
	UnknownService     Code = "unknown_service"
	NotFound           Code = "not_found"
	Conflict           Code = "conflict"
	Precondition       Code = "precondition"
	Denied             Code = "denied"
	EvalFailed         Code = "eval_failed"
	BuildFailed        Code = "build_failed"
	Locked             Code = "locked"
	HostUnreachable    Code = "host_unreachable"
	EngineUnavailable  Code = "engine_unavailable"
	Unhealthy          Code = "unhealthy"
	RollbackFailed     Code = "rollback_failed"
	BundleCorrupt      Code = "bundle_corrupt"
	BundleIncompatible Code = "bundle_incompatible"
	Timeout            Code = "timeout"
	Canceled           Code = "canceled"
	Internal           Code = "internal"
)

// Row is what follows from a code.
type Row struct {
	Code      Code
	Exit      int  // exit status of the command line
	Retryable bool // the same call, unchanged, may succeed later
	Meaning   string
}

// Codes is the whole table, in the order it is documented.
var Codes = []Row{
	{InvalidArgument, 2, false, "an argument, or the registry, is wrong"},
	{UnknownService, 3, false, "no service of that name or alias"},
	{NotFound, 3, false, "a thing that was named does not exist"},
	{Conflict, 4, false, "something moved since it was looked at"},
	{Precondition, 5, false, "something that must be there first is not: a tool, a repository, a setting"},
	{Denied, 6, false, "not allowed"},
	{EvalFailed, 10, false, "Nix could not evaluate"},
	{BuildFailed, 10, false, "Nix could not build"},
	{Locked, 11, true, "another process holds it"},
	{HostUnreachable, 12, true, "the host does not answer"},
	{EngineUnavailable, 12, true, "the container engine does not answer"},
	{Unhealthy, 13, false, "the service did not pass its health gate"},
	{RollbackFailed, 14, false, "the previous version could not be brought back"},
	{BundleCorrupt, 15, false, "a bundle does not verify"},
	{BundleIncompatible, 16, false, "a bundle does not fit this service, or this homelab"},
	{Timeout, 124, true, "ran out of time"},
	{Canceled, 130, false, "canceled by the caller"},
	{Internal, 1, false, "a defect of homelab"},
}

// row of the code; an unknown code counts as [Internal].
func (c Code) row() Row {
	for _, row := range Codes {
		if row.Code == c {
			return row
		}
	}
	return Codes[len(Codes)-1]
}

// Exit is the exit status of the command line for the code.
func (c Code) Exit() int { return c.row().Exit }

// Retryable says whether the same call, unchanged, may succeed later.
func (c Code) Retryable() bool { return c.row().Retryable }
