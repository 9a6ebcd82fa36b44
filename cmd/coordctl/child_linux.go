package main

import "syscall"

// dieWithParent has the kernel kill the child when the thread that starts it ends,
// and so when coordctl is killed.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
