package main

import "golang.org/x/sys/unix"

// memorySize is how many bytes of memory the machine has.
func memorySize() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
