package main

import (
	"fmt"
	"os"
	"strings"
)

// peak says how much memory the process had at most.
func peak() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return ""
	}
	kib := 0
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmHWM: %d kB", &kib)
	}
	return fmt.Sprintf(", and at most %d MiB in all, pages of the file included", kib>>10)
}
