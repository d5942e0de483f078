package command

import "syscall"

// dieWithParent asks the kernel for a signal at the death of the thread that
// starts the command (prctl(2), PR_SET_PDEATHSIG).
func dieWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }
