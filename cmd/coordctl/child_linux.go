package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent has the kernel kill the child when the thread that starts it ends,
// and so when coordctl is killed.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// runs reports whether the process group has a member that is more than a zombie: where
// nobody reaps orphans, as in many containers, those stay.
func runs(group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	self, err := os.Readlink("/proc/self")
	if err != nil || self != strconv.Itoa(os.Getpid()) {
		return true // there is no telling: /proc is not there, or counts processes otherwise
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return true
	}
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid pgrp ...: proc_pid_stat(5). The name may have anything.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		const state, pgrp, threads = 0, 2, 17
		if len(f) <= threads || string(f[pgrp]) != strconv.Itoa(group) {
			continue
		}
		// A zombie with threads is one whose first thread has ended before the others.
		ended := string(f[state]) == "Z" || string(f[state]) == "X"
		if n := string(f[threads]); !ended || n != "0" && n != "1" {
			return true
		}
	}
	return false
}
