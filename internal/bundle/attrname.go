package bundle

// KeepsAttribute says whether a bundle keeps an extended attribute of that name;
// with privileged also what gives a program rights.
func KeepsAttribute(name string, privileged bool) bool {
	return isCaptured(name) && (privileged || name != capability)
}
