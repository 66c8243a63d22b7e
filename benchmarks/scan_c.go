//go:build cgo && unix

package main

import "github.com/seed-498deeca/mmap/benchmarks/internal/cscan"

// scansInC are the ways in C. Its read is given the buffer that was best for read in Go.
func scansInC(s *session, name string, buffer int) []scanWay {
	return []scanWay{
		{name: "C, mmap", scan: func(scanLoops) (int64, error) { return cscan.Mapped(name) }},
		{name: "C, read", scan: func(scanLoops) (int64, error) { return cscan.Read(name, buffer) }},
	}
}
