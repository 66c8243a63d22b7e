package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// A job is what a machine is booted for: the suite, or a probe.
type job struct {
	name, about string
	on          func(machine) bool
	prepare     func(*boot, options)
	check       func(*boot, *guest) error // looks at what the tasks printed, and at what the machine left; may be nil

	// lives, if there is one, does a job of many boots in place of all that.
	lives func(ctx context.Context, b *builder, m machine, k kernel, o options, log io.Writer) []outcome
}

var jobs = []job{suite, devmem, storage, pci, addresses, dax, hugepages, powercut}

func everywhere(machine) bool { return true }

// suite is the tests of the library and of its examples.
var suite = job{
	name: "suite", about: "the tests of the library and of its examples", on: everywhere,
	prepare: func(b *boot, o options) {
		b.memory = 2048
		b.modules = append(b.modules, "loop", "fuse")
		// Tests use all mappings up, which takes an emulated processor long.
		b.plan.Write = append(b.plan.Write, plan.Write{File: "/proc/sys/vm/max_map_count", Text: "20000"})
		args := []string{"-test.v", fmt.Sprintf("-test.count=%d", o.count), "-test.timeout=" + (o.timeout - o.timeout/10).String()}
		if o.run != "" {
			args = append(args, "-test.run="+o.run)
		}
		if o.skip != "" {
			args = append(args, "-test.skip="+o.skip)
		}
		if o.short {
			args = append(args, "-test.short")
		}
		const fuse = "/tests/fusetest"
		b.programs[fuse] = program{"build -C internal/fusetest", "."}
		b.plan.Env = append(b.plan.Env, "MMAP_TEST_FUSE="+fuse)
		for _, t := range []struct{ name, pkg string }{
			{"mmap", "."}, {"examples-log", "./examples/log"}, {"examples-devmem", "./examples/devmem"},
		} {
			file := "/tests/" + t.name
			b.programs[file] = program{"test -c", t.pkg}
			b.plan.Tasks = append(b.plan.Tasks, plan.Task{Name: t.name, Args: append([]string{file}, args...)})
			b.tests = append(b.tests, t.name)
		}
	},
}

// An outcome is a job that was done on a machine, or could not be.
type outcome struct {
	machine, job string
	guest        *guest   // nil if none came up
	cuts         []series // of power
	how          string   // KVM or TCG
	seconds      float64
	err          error
}

// newBoot is a machine with what all jobs need.
func newBoot(b *builder, m machine, k kernel, job string, o options) *boot {
	return &boot{
		machine: m, kernel: k, memory: 1024, processors: 2, images: images, programs: make(map[string]program),
		modules: []string{"virtio_pci", "virtio_blk", "crc32c_generic", "ext4"},
		percent: o.percent, files: filepath.Join(b.dir, m.name+"-"+job),
	}
}

// do boots a machine for a job.
func (j job) do(ctx context.Context, b *builder, m machine, k kernel, o options, log io.Writer) []outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not ready within %v (-timeout)", o.timeout))
	defer cancel()
	if j.lives != nil {
		return j.lives(ctx, b, m, k, o, log)
	}
	start := time.Now()
	out := outcome{machine: m.name, job: j.name}
	run := newBoot(b, m, k, j.name, o)
	if o.fs == "ext4" || o.fs == "" && m.fs == "ext4" {
		run.plan.Disk = "ext4"
	}
	j.prepare(run, o)
	defer run.discard()
	if out.err = run.pack(b, log, o); out.err == nil {
		out.guest, out.how = run.start(ctx, log, o.verbose)
		out.err = j.verdict(run, out.guest)
	}
	out.seconds = time.Since(start).Seconds()
	return []outcome{out}
}

// pack makes the files that the machine starts with.
func (b *boot) pack(builder *builder, log io.Writer, o options) error {
	if err := errors.Join(b.packPrograms(builder, log, o), b.addSpare(builder, log), b.addLasting(builder)); err != nil || b.plan.Disk == "" {
		return err
	}
	b.disk = b.file("disk")
	return newDisk(builder.ctx, b.disk, b.plan.Disk, 4<<30, "-q")
}

// packPrograms makes the initramfs.
func (b *boot) packPrograms(builder *builder, log io.Writer, o options) error {
	files, err := modulesIn(b.kernel.modules)
	if err != nil {
		return err
	}
	modules, none, err := inOrder(b.modules, loadFrom(files))
	if err != nil {
		return err
	}
	if o.verbose && len(none) > 0 {
		fmt.Fprintf(log, "built into the kernel, or absent: %s\n", strings.Join(none, ", "))
	}
	for _, m := range modules {
		b.plan.Modules = append(b.plan.Modules, plan.Module{Name: m.name})
	}
	b.initrd = b.file("cpio")
	return builder.initramfs(b.initrd, b.goArch, b.plan, modules, b.images, b.programs)
}

// addSpare makes the spare disks. Those whose mkfs is not installed are left out.
func (b *boot) addSpare(builder *builder, log io.Writer) error {
	for i := range b.spare {
		s := &b.spare[i]
		file := b.file(fmt.Sprintf("spare%d", i))
		err := newDisk(builder.ctx, file, s.kind, s.size, s.flags...)
		switch {
		case errors.Is(err, exec.ErrNotFound):
			os.Remove(file)
			fmt.Fprintf(log, "no disk with %s: %v\n", s.kind, err)
		case err != nil:
			return err
		default:
			s.file = file
		}
	}
	return nil
}

// addLasting makes the persistent memory.
func (b *boot) addLasting(builder *builder) error {
	for i := range b.lasting {
		l := &b.lasting[i]
		l.file = b.file(fmt.Sprintf("%d.memory", i))
		if err := newDisk(builder.ctx, l.file, l.fs, l.size<<20, l.flags...); err != nil {
			return err
		}
	}
	return nil
}

// verdict says what went wrong, nil if nothing did.
func (j job) verdict(b *boot, g *guest) error {
	var wrong []string
	for _, tests := range g.tests {
		if tests.failed > 0 {
			wrong = append(wrong, fmt.Sprintf("%d tests failed: %s", tests.failed, strings.Join(tests.failures, ", ")))
		}
	}
	wrong = append(wrong, g.trouble...)
	if len(wrong) == 0 && len(g.ended) != len(b.plan.Tasks) {
		wrong = append(wrong, fmt.Sprintf("%d of %d tasks have ended", len(g.ended), len(b.plan.Tasks)))
	}
	if passed, failed, _ := g.counts(); len(wrong) == 0 && len(g.tests) > 0 && passed+failed == 0 {
		wrong = append(wrong, "no test ran")
	}
	if len(wrong) == 0 && j.check != nil {
		return j.check(b, g)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// file names a file of the host that lasts as long as the machine.
func (b *boot) file(kind string) string { return b.files + "." + kind }

// discard removes the files, which may have become large.
func (b *boot) discard() {
	files, _ := filepath.Glob(b.file("*"))
	for _, name := range files {
		os.Remove(name)
	}
}
