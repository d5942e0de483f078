package nix

// EventKind says what an [Event] is about, and which of its fields are set.
type EventKind string

const (
	Message         EventKind = "message"         // Nix says Text, at Level
	BuildStarted    EventKind = "buildStarted"    // the builder of Drv runs; Text is the machine, empty: this one
	BuildFinished   EventKind = "buildFinished"   // the builder of Drv ended, well or not
	LogLine         EventKind = "log"             // the builder of Drv printed Text
	BuildsCounted   EventKind = "buildsCounted"   // Done of Expected derivations are built
	FetchStarted    EventKind = "fetchStarted"    // Path is being taken from the store Text
	FetchFinished   EventKind = "fetchFinished"   // and no more, well or not
	DownloadedBytes EventKind = "downloadedBytes" // Done of Expected bytes of the store path Path are here
)

// Event is something that happened while Nix built. Texts are valid UTF-8 of
// at most 32 KiB without colours and control characters but tabs; those of
// messages may have several lines.
type Event struct {
	Kind     EventKind
	Drv      string // store path of a derivation
	Path     string // store path
	Text     string
	Failed   bool // of the end of a build: it is known to have failed
	Level    int  // of a message: 0 error, 1 warning, 2 notice, 3 information, more: details
	Done     int64
	Expected int64 // 0: unknown
}
