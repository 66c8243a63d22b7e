//go:build !linux

package main

// memorySize is how many bytes of memory the machine has: 0 where it is not asked for.
func memorySize() uint64 { return 0 }
