package dockerhost

// What these look at cannot be arranged from outside: a socket of the machine
// that is missing, and one that root may not use.
var (
	FirstThatExists = firstThatExists
	SocketFailure   = socketFailure
)

// LocalSockets lets tests see what the system-wide socket of a machine hides.
var LocalSockets = localSockets
