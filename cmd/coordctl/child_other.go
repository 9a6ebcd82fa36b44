//go:build unix && !linux

package main

import (
	"errors"
	"syscall"
)

// dieWithParent does nothing: this kernel has no such signal, and only the fence
// stops a child whose coordctl was killed.
func dieWithParent(*syscall.SysProcAttr) {}

// runs reports whether the process group has a member.
func runs(group int) bool { return !errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) }
