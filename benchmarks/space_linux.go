package main

import (
	"bytes"
	"os"
	"strconv"
)

// addressSpace returns how many bytes of address space the process has, 0 if the
// system does not tell.
func addressSpace() int {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return 0
	}
	defer f.Close()
	var buf [128]byte
	n, _ := f.Read(buf[:])
	pages, _, _ := bytes.Cut(buf[:n], []byte(" "))
	size, _ := strconv.Atoi(string(pages))
	return size * os.Getpagesize()
}
