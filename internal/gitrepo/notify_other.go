//go:build !linux

package gitrepo

// newNotifier is nil: what these systems offer does not tell every change before
// the call that made it returns.
func newNotifier(string) notifier { return nil }
