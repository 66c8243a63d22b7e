//go:build linux && !mmap_posix && !(mips || mipsle || mips64 || mips64le)

package mmap

import "golang.org/x/sys/unix"

// mapSync is a flag of mmap(2) for memory that keeps its contents without power.
const mapSync = unix.MAP_SYNC
