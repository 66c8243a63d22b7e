//go:build linux

// Init is process 1 of a guest of vmtest. It does what the plan says, reports each
// step on the console, and powers the guest off.
//
// Tests start a few programs. Under their names it does what the tests need: true,
// mkfs.ext4 and mount.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

func main() {
	var err error
	switch filepath.Base(os.Args[0]) {
	case "true":
	case "mkfs.ext4":
		err = makeFileSystem(os.Args[1:])
	case "mount":
		err = mountLoop(os.Args[1:])
	default:
		boot()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func report(r plan.Report) { os.Stdout.WriteString(r.String()) }

// note reports an error and goes on: as a rule a test will skip or fail for it.
func note(what string, err error) {
	if err != nil {
		report(plan.Report{Event: plan.Note, Error: what + ": " + err.Error()})
	}
}

func boot() {
	defer powerOff()
	for _, m := range []struct{ kind, dir string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/dev/shm"}, {"tmpfs", "/tmp"},
		{"devpts", "/dev/pts"}, {"debugfs", "/sys/kernel/debug"}, {"tracefs", "/sys/kernel/tracing"},
	} {
		if !strings.HasPrefix(m.dir, "/sys/") {
			note("directory", os.MkdirAll(m.dir, 0o755))
		}
		note("mount "+m.dir, unix.Mount(m.kind, m.dir, m.kind, 0, ""))
	}
	note("links in /dev", errors.Join(os.Symlink("/proc/self/fd", "/dev/fd"),
		os.Chmod("/tmp", 0o777|os.ModeSticky), os.Chmod("/dev/shm", 0o777|os.ModeSticky)))
	// As service managers set it.
	note("limit of files", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1 << 19}))

	var p plan.Plan
	b, err := os.ReadFile(plan.File)
	if err = errors.Join(err, json.Unmarshal(b, &p)); err != nil {
		note(plan.File, err)
		return
	}
	for _, m := range p.Modules {
		if m.Name == p.Wait {
			p.Env = append(p.Env, variables()...)
		}
		note("module "+m.Name, load(m))
	}
	dir := "/tmp"
	if p.Disk != "" {
		if dir = "/data"; mountDisk(p.Disk, dir) != nil {
			return
		}
	}
	for _, w := range p.Write {
		note("write", os.WriteFile(w.File, []byte(w.Text), 0))
	}
	reportUp(dir)
	for _, t := range p.Tasks {
		run(t, dir, append(os.Environ(), p.Env...))
	}
}

func reportUp(dir string) {
	var uname unix.Utsname
	note("uname", unix.Uname(&uname))
	var now unix.Timespec
	note("clock", unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	one := uint16(1)
	report(plan.Report{
		Event: plan.Up, Release: unix.ByteSliceToString(uname.Release[:]), PageSize: os.Getpagesize(),
		BigEndian:  *(*byte)(unsafe.Pointer(&one)) == 0,
		FileSystem: fileSystem(dir), Seconds: time.Duration(now.Nano()).Seconds(),
	})
}

// fileSystem looks up what the kernel says is mounted at dir.
func fileSystem(dir string) string {
	b, err := os.ReadFile("/proc/mounts")
	note("mounts", err)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == dir {
			return f[2]
		}
	}
	return "?"
}

func run(t plan.Task, dir string, env []string) {
	report(plan.Report{Event: plan.Begin, Task: t.Name})
	end := plan.Report{Event: plan.End, Task: t.Name}
	cmd := exec.Command(t.Args[0], t.Args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stdout
	cmd.Env = append(env, "PATH=/bin", "HOME="+dir, "TMPDIR="+dir, "USER=root")
	start := time.Now()
	if err := cmd.Run(); err != nil {
		end.Error = err.Error()
	}
	end.Seconds = time.Since(start).Seconds()
	report(end)
}

// variables waits for a line with words NAME=VALUE.
func variables() []string {
	report(plan.Report{Event: plan.Wait})
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	note("wait", err)
	return strings.Fields(line)
}

func load(m plan.Module) error {
	image, err := os.ReadFile("/modules/" + m.Name)
	if err != nil {
		return err
	}
	if err := unix.InitModule(image, m.Parameters); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// mountDisk mounts the first disk that there is, once the kernel has found it.
func mountDisk(kind, dir string) error {
	err := os.MkdirAll(dir, 0o777)
	for range 100 {
		for _, disk := range []string{"/dev/vda", "/dev/sda", "/dev/pmem0"} {
			if _, statErr := os.Stat(disk); statErr != nil {
				continue
			}
			err = errors.Join(err, unix.Mount(disk, dir, kind, 0, ""), os.Chmod(dir, 0o777|os.ModeSticky))
			note("mount "+disk, err)
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	err = errors.New("no disk has come up within ten seconds")
	note("mount", err)
	return err
}

func powerOff() {
	unix.Sync()
	note("power off", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
	note("restart", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)) // which ends qemu as well
}
