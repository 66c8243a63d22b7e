package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
)

// machine describes where the program runs, as pairs of what and which. What the
// system does not tell is left out.
func machine(dir string) [][2]string {
	var facts [][2]string
	add := func(what, which string) { facts = append(facts, [2]string{what, which}) }
	if c, err := cpu.Info(); err == nil && len(c) > 0 {
		add("processor", fmt.Sprintf("%s, %d cores", c[0].ModelName, runtime.NumCPU()))
	} else {
		add("cores", fmt.Sprint(runtime.NumCPU()))
	}
	if m, err := mem.VirtualMemory(); err == nil {
		add("memory", fmt.Sprintf("%.0f GiB", float64(m.Total)/(1<<30)))
	}
	if h, err := host.Info(); err == nil {
		kernel, _, _ := strings.Cut(h.KernelVersion, "-") // the rest is who built it
		add("system", strings.Join(strings.Fields(fmt.Sprintf("%s %s, kernel %s, %s", h.Platform, h.PlatformVersion, kernel, h.KernelArch)), " "))
	} else {
		add("system", runtime.GOOS+"/"+runtime.GOARCH)
	}
	if fs := fileSystem(dir); fs != "" {
		add("files on", fs)
	}
	if l, err := load.Avg(); err == nil {
		add("load before", fmt.Sprintf("%.1f", l.Load1))
	}
	add("Go", runtime.Version())
	return facts
}

// fileSystem returns the kind of file system that a folder is on, "" if unknown.
func fileSystem(dir string) string {
	parts, err := disk.Partitions(true)
	dir, _ = filepath.Abs(dir)
	kind, longest := "", 0
	for _, p := range parts {
		mount := strings.TrimSuffix(p.Mountpoint, string(os.PathSeparator))
		if err == nil && len(mount) >= longest && (dir == mount || strings.HasPrefix(dir, mount+string(os.PathSeparator))) {
			kind, longest = p.Fstype, len(mount)
		}
	}
	return kind
}
