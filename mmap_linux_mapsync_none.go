//go:build linux && !mmap_posix && (mips || mipsle || mips64 || mips64le)

package mmap

const mapSync = 0 // Linux has no such flag here
