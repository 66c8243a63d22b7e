package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// coldDirect reads a file past the page cache. The buffer is whole pages.
func coldDirect(name string, buffer int, read func(f *os.File, b []byte) (int64, error)) (int64, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w: this file system has no O_DIRECT", errors.ErrUnsupported)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := unix.Mmap(-1, 0, buffer, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(b)
	return read(f, b)
}

// newGroup makes a memory cgroup of so many bytes, and returns its folder. If it
// cannot, it says why.
func newGroup(limit int) (dir, why string) {
	if os.Geteuid() != 0 {
		return "", "needs root"
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err.Error()
	}
	file := ""
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		switch controllers := "," + fields[1] + ","; {
		case strings.Contains(controllers, ",memory,"): // version 1: within ours
			dir, file = filepath.Join("/sys/fs/cgroup/memory", fields[2]), "memory.limit_in_bytes"
		case fields[0] == "0" && file == "": // version 2: beside ours, because one with processes has none within
			dir, file = filepath.Join("/sys/fs/cgroup", filepath.Dir(fields[2])), "memory.max"
		}
	}
	dir = filepath.Join(dir, fmt.Sprintf("mmap-benchmarks-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err.Error()
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(limit)), 0); err != nil {
		os.Remove(dir)
		return "", err.Error()
	}
	return dir, ""
}

func joinGroup(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
}
