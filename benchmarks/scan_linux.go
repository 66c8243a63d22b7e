package main

import "golang.org/x/sys/unix"

func scansBare(name string) []scanWay {
	return []scanWay{
		{name: "unix.Mmap", scan: scanBare(name, 0)},
		{name: "unix.Mmap, MAP_POPULATE", scan: scanBare(name, unix.MAP_POPULATE)},
	}
}
