//go:build unix && !linux

package main

func scansBare(name string) []scanWay {
	return []scanWay{{name: "unix.Mmap", scan: scanBare(name, 0)}}
}
