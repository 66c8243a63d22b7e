package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// A boot is one life of a machine: what it is told to do, and with which hardware.
type boot struct {
	machine
	kernel     kernel
	plan       plan.Plan
	programs   map[string]program // by their names in the guest
	modules    []string           // of the kernel, without those that they need
	tests      []string           // the tasks that are test programs
	images     []ext4Image
	memory     int // in MiB
	processors int
	percent    string            // MMAP_TEST_ROUNDS; if empty, the machine's own where it is emulated
	append     string            // to the command line of the kernel
	extra      []string          // arguments of qemu
	input      string            // that the console has for the guest
	heard      func(line string) // is told each line of the console; may be nil
	spare      []spare           // further disks
	files      string            // of the host: how their names begin
	lasting    []lasting

	initrd, disk   string // files; no disk for ""
	state, monitor string // of a machine that is suspended, see suspend.go
}

// A spare is a disk with a fresh file system that nobody has mounted. The guest
// knows it by its serial number, which is the kind.
type spare struct {
	kind  string
	size  int64
	flags []string // of mkfs

	file string // "" if the host cannot make it
}

// A lasting is a part of a machine's memory that its kernel takes for persistent
// memory, /dev/pmem0 and so on, with a file system on it.
type lasting struct {
	at, size int64 // in MiB
	fs       string
	flags    []string // of its mkfs
	file     string
}

// upWithin is how long a machine may take to come up. An emulated one takes 20 s.
const upWithin = 3 * time.Minute

// kvmWithin is how long it may take with KVM, before it is given up.
const kvmWithin = 30 * time.Second

var errKVM = errors.New("KVM does not run this machine")

// kvmFails is set once that was seen.
var kvmFails atomic.Bool

// start runs a machine to its end, with KVM where that works.
func (b *boot) start(ctx context.Context, log io.Writer, verbose bool) (g *guest, how string) {
	if !kvmFails.Load() && b.kvm() {
		g, err := b.run(ctx, log, verbose, true)
		if !errors.Is(err, errKVM) {
			return g, "KVM"
		}
		fmt.Fprintf(log, "%v; it is emulated\n", err)
		kvmFails.Store(true)
	}
	g, _ = b.run(ctx, log, verbose, false)
	return g, "TCG"
}

// run is one try to do so. An error means that the machine did not start.
func (b *boot) run(ctx context.Context, log io.Writer, verbose, kvm bool) (*guest, error) {
	g := newGuest(log, verbose, b.tests)
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	within := upWithin
	if kvm {
		within = kvmWithin
	}
	notUp := time.AfterFunc(within, func() { kill(fmt.Errorf("not up within %v", within)) })
	defer notUp.Stop()

	args := b.arguments(kvm)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = 5 * time.Second
	out, console := io.Pipe()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(b.input), console, console
	if err := cmd.Start(); err != nil {
		g.off(err.Error())
		return g, err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		ended <- err
		console.Close()
	}()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" || err == nil {
			if g.line(line); g.up.Event != "" {
				notUp.Stop()
			}
			if b.heard != nil {
				b.heard(line)
			}
			if kvm && strings.Contains(line, "KVM internal error") {
				kill(errors.New(line))
			}
		}
		if err != nil {
			break
		}
	}
	err := <-ended
	if kvm && g.up.Event == "" {
		return g, fmt.Errorf("%w: %v", errKVM, err)
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	g.off(failure)
	return g, nil
}

// arguments are the command line of qemu.
func (b *boot) arguments(kvm bool) []string {
	args := append([]string{}, b.qemu...)
	if kvm {
		args = append(args, "-accel", "kvm", "-cpu", "host")
	} else if b.oneThread {
		args = append(args, "-accel", "tcg,thread=single")
	}
	line := fmt.Sprintf("console=%s quiet loglevel=3 panic=-1 rdinit=/init %s", b.console, b.append)
	if b.goArch == "amd64" {
		line += " no_timer_check" // which an emulated timer fails where the host is busy
	}
	if percent := cmp.Or(b.percent, map[bool]string{false: b.rounds}[kvm]); percent != "" {
		line += " MMAP_TEST_ROUNDS=" + percent // which the kernel hands to init, and init to the tasks
	}
	for _, l := range b.lasting {
		line += fmt.Sprintf(" memmap=%dM!%dM", l.size, l.at)
		args = append(args, "-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", l.file, l.at<<20))
	}
	args = append(args, "-m", fmt.Sprint(b.memory), "-smp", fmt.Sprint(b.processors),
		"-display", "none", "-serial", "stdio", "-monitor", cmp.Or(b.monitor, "none"), "-nic", "none", "-no-reboot",
		"-kernel", b.kernel.image, "-initrd", b.initrd,
		"-append", line)
	if b.disk != "" {
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+b.disk)
	}
	for i, s := range b.spare {
		if s.file != "" {
			args = append(args, "-drive", fmt.Sprintf("if=none,id=spare%d,format=raw,cache=unsafe,file=%s", i, s.file),
				"-device", fmt.Sprintf("virtio-blk,drive=spare%d,serial=%s", i, s.kind))
		}
	}
	if b.state != "" {
		args = append(args, b.goOn()...)
	}
	return append(args, b.extra...)
}

// haveEmulator says whether the machine's qemu is installed.
func (m *machine) haveEmulator() error {
	if _, err := exec.LookPath(m.qemu[0]); err != nil {
		return fmt.Errorf("%s of the package %s: %w (%v)", m.qemu[0], m.emulator, errUnavailable, err)
	}
	return nil
}

// lookPath finds a program, also one of those that only root has in its path.
func lookPath(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w (%w)", name, errUnavailable, exec.ErrNotFound)
}

// newDisk makes a file system of a kind in a sparse file of a size.
func newDisk(ctx context.Context, name, kind string, size int64, flags ...string) error {
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)); err != nil {
		return err
	}
	mkfs, err := lookPath("mkfs." + kind)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mkfs, append(flags, name)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd, err, out)
	}
	return nil
}
