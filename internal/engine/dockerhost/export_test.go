package dockerhost

// What these look at cannot be arranged from outside: a socket of the machine
// that is missing, and one that root may not use.
var (
	FirstThatExists = firstThatExists
	SocketFailure   = socketFailure
)
