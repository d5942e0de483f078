//go:build !linux

package command

import "syscall"

// dieWithParent does nothing: no other kernel can.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
